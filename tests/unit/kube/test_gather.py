"""The loop around the planner: every fate of a read is told, and time ends it with what there is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from kubeagent.diagnosis.gathering import Gathering
from kubeagent.errors import ClusterUnavailable, UnknownKind
from kubeagent.kube.gather import gather
from kubeagent.protocol.reads import Get, List
from kubeagent.resources.refs import ObjectKey
from tests.fakes.kube import FakeCluster

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
TARGET = ObjectKey("v1", "Pod", "shop", "web")
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"containers": [{"name": "app"}], "nodeName": "n1"},
    "status": {"phase": "Running"},
}


async def test_what_is_there_is_found() -> None:
    cluster = FakeCluster(POD)
    evidence = await gather(cluster, Gathering(TARGET), now=NOW, cluster_id="prod", kubernetes_version="v1.34.4")
    assert "web" in [obj["metadata"]["name"] for obj in evidence.objects]
    assert (evidence.now, evidence.cluster_id, evidence.kubernetes_version) == (NOW, "prod", "v1.34.4")
    assert evidence.reads == len(cluster.asked)


async def test_what_is_not_there_is_absent() -> None:
    assert TARGET in (await gather(FakeCluster(), Gathering(TARGET), now=NOW)).absent


async def test_what_is_refused_is_unreadable() -> None:
    evidence = await gather(FakeCluster(POD, forbidden=["Pod"]), Gathering(TARGET), now=NOW)
    assert "Forbidden" in {each.reason for each in evidence.unreadable}


async def test_a_cluster_that_is_away_or_does_not_know_the_kind() -> None:
    class Odd(FakeCluster):
        async def get(self, read: Get) -> Any:
            raise ClusterUnavailable("down")

        async def list(self, read: List) -> Any:
            raise UnknownKind("what?")

    evidence = await gather(Odd(), Gathering(TARGET), now=NOW)
    assert "Unavailable" in {each.reason for each in evidence.unreadable}


async def test_time_ends_it_with_what_there_is() -> None:
    class Slow(FakeCluster):
        async def list(self, read: List) -> Any:
            await asyncio.Event().wait()

    evidence = await gather(Slow(POD), Gathering(TARGET), now=NOW, timeout=timedelta(milliseconds=100))
    assert "web" in [obj["metadata"]["name"] for obj in evidence.objects]
    assert "Timeout" in {each.reason for each in evidence.unreadable}


async def test_no_more_reads_at_once_than_allowed() -> None:
    most, running = 0, 0

    class Counting(FakeCluster):
        async def list(self, read: List) -> Any:
            nonlocal most, running
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            return await super().list(read)

    await gather(Counting(POD), Gathering(TARGET), now=NOW, concurrency=2)
    assert most <= 2
