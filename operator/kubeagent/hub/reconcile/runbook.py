"""The next status of a Runbook: whether it can be used as it is, and if not, the path and the reason.

CEL and templates are checked by the runbook engine once it is there; what the model refuses is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from kubeagent.resources.conditions import Status, with_condition
from kubeagent.resources.runbook import RunbookSpec, RunbookStatus


def next_status(body: Mapping[str, Any], now: datetime) -> tuple[RunbookStatus, RunbookStatus]:
    """The status that the body has, and the one that it should have."""
    before = status_of(body)
    generation = int(body.get("metadata", {}).get("generation") or 0)
    ready, reason, message = _check(body.get("spec"))
    conditions = with_condition(before.conditions, "Ready", ready, reason, message, now=now, generation=generation)
    return before, before.model_copy(update={"conditions": conditions, "observed_generation": generation})


def status_of(body: Mapping[str, Any]) -> RunbookStatus:
    """The status in a body; an unreadable one counts as none."""
    try:
        return RunbookStatus.model_validate(body.get("status") or {})
    except ValidationError:
        return RunbookStatus()


def _check(spec: Any) -> tuple[Status, str, str]:
    try:
        runbook = RunbookSpec.model_validate(spec)
    except ValidationError as exc:
        return "False", "InvalidSpec", explain(exc)
    return "True", "Valid", f"{len(runbook.steps)} steps"


def explain(error: ValidationError, limit: int = 3) -> str:
    """`spec.steps.0.action: Field required`, for the first few findings."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, each['loc'])) or 'spec'}: {each['msg']}"[:300] for each in found[:limit]]
    return "; ".join(lines) + (f"; and {len(found) - limit} more" if len(found) > limit else "")
