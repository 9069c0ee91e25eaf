"""The pytest fixture `cluster`: one cluster for the whole test session, by the ladder.

Load it with `pytest_plugins = ["tests.cluster.fixture"]` in the top conftest.py. Where no rung can be had,
tests that ask for it are skipped with the reason; with KUBEAGENT_NEED_CLUSTER=1, as in CI, they fail.
"""

import os
from collections.abc import Iterator

import pytest

from . import ClusterError, LocalCluster, Rung, choose


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Rung]:
    """The best cluster this machine can offer."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # the first build takes minutes, and says how far it is
            rung = choose()
    except ClusterError as error:
        if os.environ.get("KUBEAGENT_NEED_CLUSTER") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with rung:
        yield rung


@pytest.fixture(scope="session")
def local_cluster(cluster: Rung) -> LocalCluster:
    """The same, for tests that stop components or read the node: they are skipped on another rung."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"needs the local cluster, not the {cluster.rung}")
    return cluster
