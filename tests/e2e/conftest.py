"""The stack under test: NATS, hub and agent as processes with their own ServiceAccounts, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubeagent.cli.cluster import accept
from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack
from tests.cluster import Rung
from tests.e2e.seed_agent import SeedAgent
from tests.e2e.theatre import Theatre
from tests.fakes.otlp import OtlpReceiver


@pytest.fixture(scope="session")
def traces() -> Iterator[OtlpReceiver]:
    """A real OTLP receiver that hub and agent export to."""
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def stack(kubectl: Kubectl, traces: OtlpReceiver) -> Iterator[Stack]:
    """Up, registered, accepted and available."""
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint}
    with Stack(kubectl, hub_environment=tracing, agent_environment=tracing) as running:
        running.wait_for_registration()
        accept(running.cluster_id, None, kubectl.kubeconfig)
        running.wait_until_available()
        yield running


@pytest.fixture(scope="session")
def silent_cluster(stack: Stack, kubectl: Kubectl) -> SeedAgent:
    """A cluster that registers, is accepted, beats once and is never heard of again."""
    agent = SeedAgent("faraway", stack.nats_url)
    agent.register()
    stack.wait(lambda: "faraway" in kubectl.run("get", "kmc", "-o", "name"), "faraway to register", 20)
    accept("faraway", None, kubectl.kubeconfig)
    agent.beat()
    return agent


@pytest.fixture(scope="session")
def as_administrator(cluster: Rung) -> Iterator[None]:
    """This process's own client is the administrator of the session's cluster; hub and agent never are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        yield


@pytest.fixture(scope="session")
def theatre(as_administrator: None, cluster: Rung, kubectl: Kubectl, seed: int, silent_cluster: SeedAgent) -> Theatre:
    """Where scenes are played. The silent cluster is heard of first, so that its 90 seconds pass meanwhile."""
    return Theatre(cluster, kubectl, seed)
