"""ManagedClusters: what a person accepts, pauses or limits takes effect with the event."""

from __future__ import annotations

from typing import Any

import kopf

from kubeagent.hub.handlers._registry import registry
from kubeagent.resources.base import GROUP, VERSION
from kubeagent.resources.managedcluster import ManagedCluster


@kopf.on.event(GROUP, VERSION, ManagedCluster.plural, registry=registry)
async def cluster_event(event: Any, body: kopf.Body, memo: Any, **_: Any) -> None:
    """Make the cluster's status what it should be."""
    if event["type"] == "DELETED":
        memo.app.hub.clusters.forget(body.metadata.name)
    else:
        await memo.app.hub.clusters.seen(body)
