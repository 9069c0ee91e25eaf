"""Conditions as the Kubernetes API conventions want them: facts with a reason, a map by type, stable order.

`with_condition` is the only way a condition changes: lastTransitionTime moves only when the status does, so two
writes of the same fact are byte-equal and the second is not sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from kubeagent.resources.base import Model, Timestamp

Status = Literal["True", "False", "Unknown"]


class Condition(Model):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")]
    status: Status
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")]
    message: Annotated[str, Field(max_length=8192)] = ""
    last_transition_time: Timestamp
    observed_generation: Annotated[int, Field(ge=0)] | None = None


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, if it was ever set."""
    return next((each for each in conditions if each.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition is there and True."""
    found = find(conditions, type_)
    return found is not None and found.status == "True"


def with_condition(
    conditions: tuple[Condition, ...],
    type_: str,
    status: Status,
    reason: str,
    message: str = "",
    *,
    now: datetime,
    generation: int | None = None,
) -> tuple[Condition, ...]:
    """The same conditions with one of them set, sorted by type."""
    before = find(conditions, type_)
    moved = before is None or before.status != status
    condition = Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=now.replace(microsecond=0) if moved or before is None else before.last_transition_time,
        observed_generation=generation,
    )
    others = (each for each in conditions if each.type != type_)
    return tuple(sorted((*others, condition), key=lambda each: each.type))


def without(conditions: tuple[Condition, ...], *types: str) -> tuple[Condition, ...]:
    """The same conditions without those types (kstatus wants Reconciling and Stalled absent, not False)."""
    return tuple(each for each in conditions if each.type not in types)
