"""Keeps the status of Runbooks: ready, or which path of the spec is wrong and why."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import structlog

from kubeagent.errors import KubeAgentError, NotFound
from kubeagent.hub.background import side_by_side
from kubeagent.hub.clock import Clock
from kubeagent.hub.due import DueTimes
from kubeagent.hub.reconcile.runbook import next_status
from kubeagent.hub.store import Kube, read, write_status
from kubeagent.resources.base import API_VERSION
from kubeagent.resources.refs import ObjectKey

log = structlog.get_logger()


class Runbooks:
    """Every Runbook that was seen."""

    def __init__(self, kube: Kube, clock: Clock, rng: random.Random) -> None:
        self._kube = kube
        self._clock = clock
        self._due = DueTimes(rng)

    async def seen(self, body: Mapping[str, Any]) -> None:
        """The API server showed us a runbook; what fails is tried again from the live object."""
        metadata = body["metadata"]
        key = ObjectKey(API_VERSION, "Runbook", str(metadata.get("namespace", "")), str(metadata["name"]))
        before, wanted = next_status(body, self._clock())
        try:
            await write_status(self._kube, key, str(metadata.get("resourceVersion", "")), before, wanted)
        except NotFound:
            return
        except KubeAgentError as exc:
            self._later(key, exc)

    async def sweep(self) -> None:
        """Try again what failed."""
        await side_by_side(self._again, self._due.take(self._clock()))

    async def _again(self, name: str) -> None:
        key = ObjectKey(API_VERSION, "Runbook", *name.split("/", 1))
        try:
            await self.seen(await read(self._kube, key))
        except NotFound:
            self._due.forget(name)
        except KubeAgentError as exc:
            self._later(key, exc)

    def _later(self, key: ObjectKey, exc: KubeAgentError) -> None:
        self._due.failed(f"{key.namespace}/{key.name}", self._clock())
        log.warning("a runbook is looked at again", runbook=str(key), code=exc.code, reason=exc.message)
