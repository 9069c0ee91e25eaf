"""Writes a status: only a difference, only onto the very version that it was derived from.

A Conflict is the caller's cue to read again and to decide again; nothing is ever forced.
"""

from __future__ import annotations

from typing import Any, Protocol

from kubeagent.hub.reconcile.merge import difference
from kubeagent.kube.port import Object, Reader, Writer
from kubeagent.protocol.reads import Get
from kubeagent.resources.base import Model
from kubeagent.resources.refs import ObjectKey
from kubeagent.telemetry.tracing import span


class Kube(Reader, Writer, Protocol):
    """The hub's own cluster, read and written."""


async def write_status(
    kube: Kube, key: ObjectKey, version: str, before: Model, wanted: Model, *, parent: str = "", step: str = ""
) -> Object | None:
    """Patch the status if it differs; the new object, or None if there was nothing to write."""
    patch = difference(before.to_json(), wanted.to_json())
    if not patch:
        return None
    body: dict[str, Any] = {"status": patch}
    if version:
        body["metadata"] = {"resourceVersion": version}
    with span("hub.patch", parent=parent, step=step):
        return await kube.patch(key, body, subresource="status")


async def read(kube: Kube, key: ObjectKey) -> Object:
    """The object as it is now."""
    return await kube.get(Get(key))
