"""Who the cluster is, and what happens while it cannot be asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubeagent.edge.collectors.cluster import cluster_facts
from kubeagent.edge.identity import Identity, identify
from kubeagent.errors import ClusterError, ConfigError
from kubeagent.protocol.reads import Get
from tests.fakes.kube import KUBE_SYSTEM_UID, FakeCluster
from tests.fakes.waiting import until


async def test_a_given_name_and_the_uid() -> None:
    assert await identify(FakeCluster(), "prod") == Identity("prod", KUBE_SYSTEM_UID)


async def test_without_a_name_the_uid_is_the_name() -> None:
    assert await identify(FakeCluster(), "") == Identity(KUBE_SYSTEM_UID, KUBE_SYSTEM_UID)


async def test_a_cluster_that_is_down_is_waited_for() -> None:
    cluster = FakeCluster()
    cluster.down = True
    waiting = asyncio.ensure_future(identify(cluster, "prod", pause=0.01))
    await until(lambda: bool(cluster.asked))
    cluster.down = False
    assert await waiting == Identity("prod", KUBE_SYSTEM_UID)


async def test_a_uid_that_may_not_be_read() -> None:
    cluster = FakeCluster(forbidden=["Namespace"])
    assert await identify(cluster, "prod") == Identity("prod", "")
    with pytest.raises(ConfigError, match="CLUSTER_ID"):
        await identify(cluster, "")


async def test_facts_that_cannot_be_had_are_unknown_and_not_zero() -> None:
    cluster = FakeCluster({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}, forbidden=["Pod"])
    facts = await cluster_facts(cluster)
    assert (facts.kubernetes_version, facts.nodes, facts.pods) == ("v1.34.4", 1, None)


async def test_what_is_no_kubernetes_api_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy may answer for an API server that is away."""
    cluster = FakeCluster()
    answers: list[Any] = [ClusterError("<html> is not understood"), {}, {"metadata": {"uid": "u"}}]

    async def get(_: Get) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(cluster, "get", get)
    assert await identify(cluster, "prod", pause=0.01) == Identity("prod", "u")
