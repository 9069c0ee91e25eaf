"""What a decision about a task is drawn from, as frozen values: the task, its cluster, the guard, and a reply.

Everything that could fail or take time happened before; a decision only looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from kubeagent.resources.diagnosistask import Agent, DiagnosisTask
from kubeagent.resources.verdict import Verdict

INSTALLED = frozenset({Agent.DIAGNOSTICIAN})
"""The roles that this version ships; the others arrive with their agents."""


class ClusterState(StrEnum):
    """Whether a command may be sent to a cluster, and if not, why."""

    MISSING = "Missing"
    NOT_ACCEPTED = "NotAccepted"
    PAUSED = "Paused"
    OFFLINE = "Offline"
    ONLINE = "Online"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What is known of a task's cluster. `capabilities` None: its agent never said; `target_namespaces` None: all.

    `silence` says why it counts as offline.
    """

    name: str
    state: ClusterState
    uid: str = ""
    capabilities: frozenset[str] | None = None
    target_namespaces: tuple[str, ...] | None = None
    silence: str = "no heartbeat from its agent"


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer whose evidence was judged."""

    command_id: str
    verdict: Verdict
    size: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An answer that is none: the agent's `status` (error, denied, expired) and its error code and text."""

    command_id: str
    status: str
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Garbled:
    """A reply that names a command of ours and is otherwise not what the protocol says."""

    command_id: str
    message: str


Reply = Judged | Failed | Garbled


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the hub waits, for what."""

    command_timeout: timedelta = timedelta(seconds=30)
    answer_margin: timedelta = timedelta(seconds=5)
    obstacle_interval: timedelta = timedelta(seconds=15)
    longest_retry: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at everything that matters to a task."""

    task: DiagnosisTask
    cluster: ClusterView
    guarded: bool = True
    reply: Reply | None = None
    timing: Timing = Timing()
