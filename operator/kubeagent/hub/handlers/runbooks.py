"""Runbooks: checked whenever they are seen."""

from __future__ import annotations

from typing import Any

import kopf

from kubeagent.hub.handlers._registry import registry
from kubeagent.resources.base import GROUP, VERSION
from kubeagent.resources.runbook import Runbook


@kopf.on.event(GROUP, VERSION, Runbook.plural, registry=registry)
async def runbook_event(event: Any, body: kopf.Body, memo: Any, **_: Any) -> None:
    """Say whether the runbook can be used."""
    if event["type"] != "DELETED":
        await memo.app.hub.runbooks.seen(body)
