"""Who this cluster is: a name for people and subjects, and the UID of kube-system, which nobody can choose.

CLUSTER_ID wins for the name; without it the UID is the name too. Recognising the cloud is a later issue.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import structlog

from kubeagent.errors import ClusterError, ConfigError, Forbidden, KubeAgentError, NotFound
from kubeagent.kube.port import Census
from kubeagent.protocol.reads import Get
from kubeagent.resources.refs import ObjectKey

log = structlog.get_logger()

KUBE_SYSTEM: Final = Get(ObjectKey("v1", "Namespace", "", "kube-system"))
MAX_PAUSE: Final = 30.0


class Identity(NamedTuple):
    """The cluster's name, and the UID that pins it ("" if it may not be read)."""

    cluster_id: str
    cluster_uid: str


async def identify(reader: Census, cluster_id: str, *, pause: float = 1.0) -> Identity:
    """Ask the cluster who it is, as often as it takes. Raises ConfigError if that can never succeed."""
    while True:
        try:
            namespace = await reader.get(KUBE_SYSTEM)
            uid = str(namespace.get("metadata", {}).get("uid", ""))
            if uid:
                return Identity(cluster_id or uid, uid)
            reason = "what answers there is no Kubernetes API"
        except (Forbidden, NotFound) as exc:
            return _without_uid(cluster_id, exc)
        except ClusterError as exc:
            reason = exc.message
        log.warning("waiting for the Kubernetes API", reason=reason)
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_PAUSE)


def _without_uid(cluster_id: str, exc: KubeAgentError) -> Identity:
    if not cluster_id:
        raise ConfigError(f"set CLUSTER_ID, or let the agent read namespace kube-system: {exc.message}") from exc
    log.warning("the UID of namespace kube-system cannot be read", reason=exc.message)
    return Identity(cluster_id, "")
