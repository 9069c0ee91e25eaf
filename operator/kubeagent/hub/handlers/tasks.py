"""DiagnosisTasks: level-triggered, so a created, changed, listed or missed one is all the same."""

from __future__ import annotations

from typing import Any

import kopf

from kubeagent.hub.handlers._registry import registry
from kubeagent.resources.base import GROUP, VERSION
from kubeagent.resources.diagnosistask import DiagnosisTask


@kopf.on.event(GROUP, VERSION, DiagnosisTask.plural, registry=registry)
async def task_event(event: Any, body: kopf.Body, memo: Any, **_: Any) -> None:
    """Carry the task forward."""
    if event["type"] == "DELETED":
        memo.app.hub.tasks.forget(body.metadata.uid)
    else:
        await memo.app.hub.tasks.seen(body)
