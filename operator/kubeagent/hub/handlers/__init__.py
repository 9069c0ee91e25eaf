"""The only code that kopf calls: each handler passes what it was given to the hub, and that is all.

All of them hang on one registry of our own, so that importing this package has no effect on anybody else's kopf.
"""

from __future__ import annotations

from kubeagent.hub.handlers import clusters, lifecycle, runbooks, tasks
from kubeagent.hub.handlers._registry import registry

__all__ = ["clusters", "lifecycle", "registry", "runbooks", "tasks"]
