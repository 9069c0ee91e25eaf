"""The one place where the status of a DiagnosisTask comes from: the status before, a step, and the time.

Deterministic and idempotent: the same step applied again gives an equal status, transition times move only when a
condition's status does, and nothing is ever null. A task with a completionTime keeps its answer; only
observedGeneration still follows, so that kstatus does not wait for ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from kubeagent.hub.reconcile.bounds import cut, with_verdict
from kubeagent.hub.reconcile.command import display_target
from kubeagent.hub.reconcile.observed import INSTALLED
from kubeagent.hub.reconcile.replies import RETRIED
from kubeagent.hub.reconcile.step import Conclude, Dispatch, End, Fact, Step, Wait
from kubeagent.resources.conditions import Condition, Conditions, Status, find, with_condition, without
from kubeagent.resources.diagnosistask import Agent, DiagnosisTask, DiagnosisTaskStatus, Phase, Usage
from kubeagent.resources.plan import Approval, ApprovalState
from kubeagent.resources.verdict import Outcome, Verdict

SUCCEEDED: Final = "Succeeded"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
TYPES: Final = (
    SUCCEEDED,
    "Dispatched",
    "EvidenceCollected",
    "Diagnosed",
    "Planned",
    "Approved",
    "Denied",
    "Remediated",
    "Verified",
)
"""Every condition that a task has from first sight on."""

_NOT_REMEDIATED: Final = ("Planned", "Approved", "Denied", "Remediated", "Verified")
_MAX_MESSAGE: Final = 2048
_MAX_REASON: Final = 128


class _Draft:
    """The conditions under way, with the time and generation that every change of them carries."""

    def __init__(self, conditions: Conditions, now: datetime, generation: int) -> None:
        self.conditions = conditions
        self._now = now
        self._generation = generation

    def set(self, type_: str, status: Status, reason: str, message: str = "") -> None:
        self.conditions = with_condition(
            self.conditions,
            type_,
            status,
            _camel(reason),
            cut(message, _MAX_MESSAGE),
            now=self._now,
            generation=self._generation,
        )

    def state(self, facts: tuple[Fact, ...]) -> None:
        for fact in facts:
            self.set(fact.type, fact.status, fact.reason, fact.message)

    def drop(self, *types: str) -> None:
        self.conditions = without(self.conditions, *types)

    def get(self, type_: str) -> Condition | None:
        return find(self.conditions, type_)

    def open_types(self) -> list[str]:
        return [type_ for type_ in TYPES if (found := self.get(type_)) is None or found.status == "Unknown"]


def after(task: DiagnosisTask, step: Step, now: datetime) -> DiagnosisTaskStatus:
    """The task's status once the step was carried out."""
    generation = task.metadata.generation
    if task.finished:
        return task.status.model_copy(update={"observed_generation": generation})
    draft = _Draft(task.status.conditions, now, generation)
    _first_sight(draft)
    _agents(draft, task)
    status = _fields(task, step, now)
    match step:
        case Conclude():
            status = with_verdict(status, step.verdict)
            _conclude(draft, step)
        case End():
            _end(draft, step)
        case Wait():
            draft.state(step.facts)
        case Dispatch():
            draft.set("Dispatched", "True", "CommandSent", step.message)
        case _:
            pass
    return _summed_up(status, draft, step, now)


def invalid(status: DiagnosisTaskStatus, generation: int, message: str, now: datetime) -> DiagnosisTaskStatus:
    """The status of a task whose spec cannot be read: failed, for good."""
    draft = _Draft(status.conditions, now, generation)
    _first_sight(draft)
    step = End("Failed", f"the spec is not valid: {message}", (Fact("Dispatched", "False", "InvalidSpec", message),))
    _end(draft, step)
    started = {"start_time": status.start_time or now.replace(microsecond=0), "observed_generation": generation}
    return _summed_up(status.model_copy(update=started), draft, step, now)


def _fields(task: DiagnosisTask, step: Step, now: datetime) -> DiagnosisTaskStatus:
    """Everything but conditions, phase and verdict."""
    before = task.status
    update = {
        "target": cut(display_target(task), 512),
        "start_time": before.start_time or now.replace(microsecond=0),
        "observed_generation": task.metadata.generation,
        "usage": _usage(before.usage or Usage(), step),
        "approval": before.approval or Approval(state=ApprovalState.NOT_REQUIRED),
    }
    return before.model_copy(update=update)


def _usage(usage: Usage, step: Step) -> Usage:
    match step:
        case Dispatch() | Wait():
            return usage.model_copy(update={"commands": max(usage.commands, step.attempt)})
        case Conclude():
            return usage.model_copy(update={"bytes": max(usage.bytes, step.size)})
        case _:
            return usage


def _first_sight(draft: _Draft) -> None:
    for type_ in TYPES:
        if draft.get(type_) is None:
            draft.set(type_, "Unknown", "Pending", "not known yet")


def _agents(draft: _Draft, task: DiagnosisTask, installed: frozenset[Agent] = INSTALLED) -> None:
    """Which of the wanted roles are there; a missing one does not fail the task."""
    missing = sorted(role.value for role in task.spec.agents if role not in installed)
    if missing:
        message = f"not installed: {', '.join(missing)}; the diagnosis goes on without"
        draft.set("AgentsAvailable", "False", "AgentNotAvailable", message)
    else:
        draft.set("AgentsAvailable", "True", "AllAvailable", "every wanted agent is installed")


def _conclude(draft: _Draft, step: Conclude) -> None:
    verdict = step.verdict
    draft.state(step.facts)
    found, reason, message = _diagnosed(verdict)
    draft.set("Diagnosed", found, reason, message)
    for type_ in _NOT_REMEDIATED:
        draft.set(type_, "False", *_no_remediation(type_, verdict))
    draft.set(SUCCEEDED, "True", _succeeded_reason(verdict), verdict.message)
    _settle(draft, "NotNeeded", "the task ended without it")


def _diagnosed(verdict: Verdict) -> tuple[Status, str, str]:
    if verdict.outcome is Outcome.UNDETERMINED:
        return "False", verdict.reason, verdict.message
    if verdict.root_causes:
        return "True", verdict.root_causes[0].reason, verdict.root_causes[0].summary
    return "True", verdict.outcome.value, verdict.message


def _no_remediation(type_: str, verdict: Verdict) -> tuple[str, str]:
    if type_ == "Planned" and verdict.root_causes:
        return "RemediationDisabled", "no plan: no remediator is installed, or remediation of the cluster is Disabled"
    return "NotRequired", "there is no plan"


def _succeeded_reason(verdict: Verdict) -> str:
    return "TargetNotFound" if verdict.reason == "TargetNotFound" else verdict.outcome.value


def _end(draft: _Draft, step: End) -> None:
    draft.state(step.facts)
    draft.set(SUCCEEDED, "False", step.reason, step.message)
    _settle(draft, step.reason, "the task ended before this was known")
    if step.reason != "Cancelled":
        draft.set(STALLED, "True", step.reason, step.message)


def _settle(draft: _Draft, reason: str, message: str) -> None:
    """Nothing about a finished task stays unknown."""
    for type_ in draft.open_types():
        draft.set(type_, "False", reason, message)


def _summed_up(status: DiagnosisTaskStatus, draft: _Draft, step: Step, now: datetime) -> DiagnosisTaskStatus:
    """Phase, kstatus and completionTime follow from the conditions."""
    phase = _phase(draft)
    if isinstance(step, Conclude | End):
        draft.drop(RECONCILING)
        status = status.model_copy(update={"completion_time": now.replace(microsecond=0)})
    else:
        dispatched = draft.get("Dispatched")
        message = dispatched.message if dispatched else ""
        draft.set(SUCCEEDED, "Unknown", phase.value, message)
        draft.set(RECONCILING, "True", phase.value, message)
    return status.model_copy(update={"phase": phase, "conditions": draft.conditions})


def _phase(draft: _Draft) -> Phase:
    succeeded, dispatched = draft.get(SUCCEEDED), draft.get("Dispatched")
    if succeeded is not None and succeeded.status == "True":
        return Phase.SUCCEEDED
    if succeeded is not None and succeeded.status == "False":
        return Phase.CANCELLED if succeeded.reason == "Cancelled" else Phase.FAILED
    if dispatched is not None and (dispatched.status == "True" or dispatched.reason in RETRIED):
        return Phase.DIAGNOSING
    return Phase.PENDING


def _camel(reason: str) -> str:
    """A reason that the API server takes: letters and digits, beginning with a letter."""
    kept = "".join(char for char in reason if char.isascii() and char.isalnum())[:_MAX_REASON]
    return kept if kept[:1].isalpha() else f"Reason{kept}"[:_MAX_REASON]
