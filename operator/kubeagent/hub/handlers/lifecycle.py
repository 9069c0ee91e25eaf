"""Start, end, login and health of the operator."""

from __future__ import annotations

from typing import Any

import kopf

from kubeagent.hub.handlers._registry import registry


@kopf.on.login(registry=registry)
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """A kubeconfig where there is one, else the pod's service account: in the order of kube/where.py.

    The other order would, in a pod with a KUBECONFIG, watch one cluster and write to another.
    """
    return kopf.login_with_kubeconfig(**kwargs) or kopf.login_with_service_account(**kwargs)


@kopf.on.startup(registry=registry)
async def startup(memo: Any, **_: Any) -> None:
    """Open the adapters and begin to work."""
    await memo.app.start()


@kopf.on.cleanup(registry=registry)
async def cleanup(memo: Any, **_: Any) -> None:
    """End in good order."""
    await memo.app.stop()


@kopf.on.probe(id="nats", registry=registry)
async def nats_probe(memo: Any, **_: Any) -> str:
    """Shown by /healthz; a missing NATS is no reason to restart the hub."""
    return "connected" if memo.app.hub.bus.connected else "not connected"


@kopf.on.probe(id="leader", registry=registry)
async def leader_probe(memo: Any, **_: Any) -> bool:
    """Shown by /healthz: whether this replica works or stands by."""
    return bool(memo.app.leadership.leads)
