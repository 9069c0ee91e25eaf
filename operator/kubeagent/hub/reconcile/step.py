"""What can be done next about a task: six steps, each plain data that says all that its status must show.

A step is carried out first and recorded afterwards; carrying the same step out twice has the effect of once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kubeagent.protocol.messages import EvidenceRequest
from kubeagent.resources.conditions import Status
from kubeagent.resources.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Fact:
    """One condition to be set."""

    type: str
    status: Status
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """All is as it should be; look again at `look_again`, if ever."""

    look_again: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Something stands in the way: the facts say what; `attempt` is the last one that is known to have been sent."""

    look_again: datetime
    facts: tuple[Fact, ...]
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send the evidence command of this attempt."""

    command_id: str
    attempt: int
    cluster: str
    cluster_uid: str
    request: EvidenceRequest
    expires_at: datetime
    look_again: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """The task is answered."""

    verdict: Verdict
    size: int = 0
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """The task ends without an answer."""

    reason: Literal["Timeout", "Failed", "Cancelled"]
    message: str
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """The finished task has outlived its ttlSecondsAfterFinished."""


Step = Nothing | Wait | Dispatch | Conclude | End | Delete
