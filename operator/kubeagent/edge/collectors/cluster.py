"""What a heartbeat says about the cluster: its version and how large it is. Asked rarely and cheaply."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from kubeagent.errors import KubeAgentError
from kubeagent.kube.port import Census


class ClusterFacts(NamedTuple):
    """None is "not known", which is not zero."""

    kubernetes_version: str = ""
    nodes: int | None = None
    pods: int | None = None


async def cluster_facts(reader: Census) -> ClusterFacts:
    """The facts, as far as they can be had now."""
    version, nodes, pods = await asyncio.gather(
        reader.version(), reader.count("v1", "Node"), reader.count("v1", "Pod"), return_exceptions=True
    )
    for answer in (version, nodes, pods):
        if isinstance(answer, BaseException) and not isinstance(answer, KubeAgentError):
            raise answer
    return ClusterFacts(
        version if isinstance(version, str) else "",
        nodes if isinstance(nodes, int) else None,
        pods if isinstance(pods, int) else None,
    )
