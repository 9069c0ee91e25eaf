"""Keeps a status small: a verdict may say anything, a status at most 200 KiB, and it says what was left out.

Sizes are those of the API server's own JSON, which writes `<`, `>` and `&` as six bytes each. What is dropped first
is what a person misses least: the tail of what was unreadable, then the quotations of secondary causes, then those
causes, and last the tail of the main cause's own evidence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from kubeagent.resources.diagnosistask import DiagnosisTaskStatus, Truncated
from kubeagent.resources.verdict import (
    MAX_ALTERNATIVES,
    MAX_EVIDENCE_BYTES,
    MAX_OTHER_ROOT_CAUSES,
    MAX_UNREADABLE,
    EvidenceLine,
    RootCause,
    Verdict,
)

MAX_STATUS_BYTES: Final = 200 * 1024
MAX_VERDICT_BYTES: Final = 112 * 1024
"""What a verdict may take, so that a plan with 64 KiB of diffs still fits beside it."""

_ELLIPSIS: Final = "…"


def json_size(value: Any) -> int:
    """Bytes of the value in the API server's JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode(errors="replace")) + 5 * sum(text.count(mark) for mark in "<>&")


def cut(text: str, limit: int) -> str:
    """The text in at most `limit` bytes of UTF-8, never half a character, an ellipsis for what is gone."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return text
    return data[: limit - len(_ELLIPSIS.encode())].decode(errors="ignore") + _ELLIPSIS


def with_verdict(status: DiagnosisTaskStatus, verdict: Verdict) -> DiagnosisTaskStatus:
    """The status with the verdict in it, cut to the bounds."""
    causes = [_bounded(cause) for cause in verdict.root_causes]
    others = causes[1 : 1 + MAX_OTHER_ROOT_CAUSES]
    unreadable = verdict.unreadable[:MAX_UNREADABLE]
    answered = status.model_copy(
        update={
            "outcome": verdict.outcome,
            "root_cause": causes[0] if causes else None,
            "other_root_causes": tuple(others) or None,
            "alternatives": tuple(_bounded(each) for each in verdict.alternatives[:MAX_ALTERNATIVES]) or None,
            "unreadable": unreadable or None,
        }
    )
    return _counted(_fitted(answered), verdict)


def _bounded(cause: RootCause) -> RootCause:
    """Each quotation in 2 KiB: the model bounds characters, the contract bytes."""
    return cause.model_copy(update={"evidence": tuple(_bounded_line(line) for line in cause.evidence)})


def _bounded_line(line: EvidenceLine) -> EvidenceLine:
    return line.model_copy(update={"text": cut(line.text, MAX_EVIDENCE_BYTES)})


def _fitted(status: DiagnosisTaskStatus) -> DiagnosisTaskStatus:
    for smaller in _CUTS:
        while _size(status) > MAX_VERDICT_BYTES:
            shorter = smaller(status)
            if shorter is None:
                break
            status = shorter
    return status


def _size(status: DiagnosisTaskStatus) -> int:
    return json_size(status.to_json())


def _without_unreadable(status: DiagnosisTaskStatus) -> DiagnosisTaskStatus | None:
    """Half of what is listed as unreadable."""
    listed = status.unreadable or ()
    return status.model_copy(update={"unreadable": listed[: len(listed) // 2] or None}) if listed else None


def _without_quotes(status: DiagnosisTaskStatus) -> DiagnosisTaskStatus | None:
    """No quotations in alternatives and secondary causes."""
    secondary = (*(status.alternatives or ()), *(status.other_root_causes or ()))
    if not any(cause.evidence for cause in secondary):
        return None
    return status.model_copy(
        update={
            "alternatives": _unquoted(status.alternatives),
            "other_root_causes": _unquoted(status.other_root_causes),
        }
    )


def _unquoted(causes: tuple[RootCause, ...] | None) -> tuple[RootCause, ...] | None:
    return tuple(cause.model_copy(update={"evidence": ()}) for cause in causes) if causes else None


def _without_alternatives(status: DiagnosisTaskStatus) -> DiagnosisTaskStatus | None:
    return status.model_copy(update={"alternatives": None}) if status.alternatives else None


def _without_others(status: DiagnosisTaskStatus) -> DiagnosisTaskStatus | None:
    """One secondary cause less, the last ranked first."""
    others = status.other_root_causes or ()
    return status.model_copy(update={"other_root_causes": others[:-1] or None}) if others else None


def _with_less_evidence(status: DiagnosisTaskStatus) -> DiagnosisTaskStatus | None:
    """One quotation of the main cause less, the last first."""
    cause = status.root_cause
    if cause is None or not cause.evidence:
        return None
    return status.model_copy(update={"root_cause": cause.model_copy(update={"evidence": cause.evidence[:-1]})})


_CUTS: Final[tuple[Callable[[DiagnosisTaskStatus], DiagnosisTaskStatus | None], ...]] = (
    _without_unreadable,
    _without_quotes,
    _without_alternatives,
    _without_others,
    _with_less_evidence,
)


def _counted(status: DiagnosisTaskStatus, verdict: Verdict) -> DiagnosisTaskStatus:
    """How many entries were left out, where any were."""
    others = max(0, len(verdict.root_causes) - 1) - len(status.other_root_causes or ())
    unreadable = len(verdict.unreadable) - len(status.unreadable or ())
    left_out = Truncated(other_root_causes=others, unreadable=unreadable) if others or unreadable else None
    return status.model_copy(update={"truncated": left_out})
