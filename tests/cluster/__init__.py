"""The cluster that live tests and the demo run against: the best one this machine can offer.

`python -m tests.cluster run -- pytest tests/integration` brings one up around a command; `choose` picks the
rung (see ladder.py); `LocalCluster` is the one that needs nothing but root on Linux.
"""

from .errors import ClusterError
from .ladder import ExistingCluster, Rung, choose
from .local import LocalCluster
from .processes import Component

__all__ = ["ClusterError", "Component", "ExistingCluster", "LocalCluster", "Rung", "choose"]
