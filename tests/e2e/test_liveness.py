"""A cluster that falls silent is Unknown after ninety seconds. It fell silent when the session began."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack
from tests.e2e.seed_agent import SeedAgent
from tests.e2e.tasks import Tasks, tasks_in

SPACE = "silence"
HEARTBEAT_TIMEOUT = 90


@pytest.fixture
def tasks(stack: Stack, kubectl: Kubectl) -> Iterator[Tasks]:
    with tasks_in(SPACE, stack, kubectl) as tasks:
        yield tasks


@pytest.mark.timeout(300)
def test_a_silent_cluster_is_unknown_after_ninety_seconds_and_not_before(
    tasks: Tasks, stack: Stack, kubectl: Kubectl, silent_cluster: SeedAgent
) -> None:
    def available() -> str:
        path = 'jsonpath={.status.conditions[?(@.type=="Available")].status}'
        return kubectl.run("get", "kmc", "faraway", "-o", path)

    since = time.monotonic() - silent_cluster.last_beat
    if since < HEARTBEAT_TIMEOUT - 5:
        assert available() == "True", f"{since:.0f} s after its only heartbeat"
    stack.wait(lambda: available() == "Unknown", "faraway to be Unknown", max(30.0, HEARTBEAT_TIMEOUT + 30 - since))
    assert time.monotonic() - silent_cluster.last_beat >= HEARTBEAT_TIMEOUT - 1
    tasks.create("offline", cluster="faraway", timeoutSeconds=3)
    tasks.until("offline", "Dispatched", "ClusterOffline")
    tasks.until("offline", "Succeeded", "Timeout")
