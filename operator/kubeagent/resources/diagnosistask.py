"""DiagnosisTask: one question about one target, asked once and answered once.

The spec is immutable but for `cancel` and `ttlSecondsAfterFinished`: asking again is a new object. Conditions are the
truth; `phase` is derived from them for people, for printer columns and for the approval policy, and never read back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from kubeagent.resources.base import Label, Model, Name, Timestamp, extra, rule
from kubeagent.resources.conditions import Conditions
from kubeagent.resources.kind import Column, Resource
from kubeagent.resources.plan import Approval, Execution, RemediationPlan
from kubeagent.resources.verdict import (
    MAX_ALTERNATIVES,
    MAX_OTHER_ROOT_CAUSES,
    MAX_UNREADABLE,
    Outcome,
    RootCause,
    Unreadable,
)

LOCAL = "local"
"""The ManagedCluster that is the hub's own cluster."""

DEFAULT_TIMEOUT_SECONDS = 120


class Agent(StrEnum):
    """The roles that a task may ask for."""

    DIAGNOSTICIAN = "diagnostician"
    REMEDIATOR = "remediator"
    SECURITY = "security"
    COST = "cost"


class Phase(StrEnum):
    """One word for people."""

    PENDING = "Pending"
    DIAGNOSING = "Diagnosing"
    AWAITING_APPROVAL = "AwaitingApproval"
    REMEDIATING = "Remediating"
    VERIFYING = "Verifying"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"
    DENIED = "Denied"
    CANCELLED = "Cancelled"


class Target(Model):
    """What to look at. `namespace` defaults to the task's own; `name` may be absent for a sweep."""

    api_version: Annotated[str, Field(max_length=128)] | None = None
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    namespace: Label | None = None
    name: Name | None = None


class RunbookRef(Model):
    """A runbook by name; its namespace defaults to the task's."""

    name: Name
    namespace: Label | None = None


_OPTIONAL_AND_FIXED = ("question", "runbookRefs", "requestedBy")
_DEFAULTED_AND_FIXED = ("cluster", "target", "agents", "autoRemediate", "approvalRequired", "timeoutSeconds")


def _immutable(field: str) -> dict[str, str]:
    if field in _DEFAULTED_AND_FIXED:
        expression = f"self.{field} == oldSelf.{field}"
    else:
        same = f"self.{field} == oldSelf.{field}"
        expression = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"
    return rule(expression, f"{field} is immutable: create a new DiagnosisTask", fieldPath=f".{field}")


class DiagnosisTaskSpec(Model):
    """The question."""

    cluster: Label = LOCAL
    target: Target
    agents: Annotated[
        tuple[Agent, ...], Field(min_length=1, max_length=4, json_schema_extra=extra(list_type="set"))
    ] = (Agent.DIAGNOSTICIAN, Agent.REMEDIATOR)
    question: Annotated[str, Field(max_length=4096)] | None = None
    runbook_refs: Annotated[tuple[RunbookRef, ...], Field(max_length=20)] | None = None
    auto_remediate: bool = False
    approval_required: bool = True
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = DEFAULT_TIMEOUT_SECONDS
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    cancel: bool = False
    requested_by: Annotated[str, Field(min_length=1, max_length=512)] | None = None

    cel_rules: ClassVar[tuple[dict[str, str], ...]] = (
        *(_immutable(field) for field in (*_DEFAULTED_AND_FIXED, *_OPTIONAL_AND_FIXED)),
        rule("!oldSelf.cancel || self.cancel", "a cancelled task stays cancelled", fieldPath=".cancel"),
        rule(
            "self.target.kind in ['Cluster', 'Namespace'] || has(self.target.name)",
            "target.name is required unless target.kind is Namespace or Cluster",
            fieldPath=".target.name",
        ),
    )


class Usage(Model):
    """What the task cost."""

    commands: Annotated[int, Field(ge=0)] = 0
    bytes: Annotated[int, Field(ge=0)] = 0
    llm_tokens: Annotated[int, Field(ge=0)] = 0


class Truncated(Model):
    """How many entries were left out to keep the status small."""

    other_root_causes: Annotated[int, Field(ge=0)] = 0
    unreadable: Annotated[int, Field(ge=0)] = 0


class DiagnosisTaskStatus(Model):
    """The answer, and how far it has come."""

    conditions: Conditions = ()
    phase: Phase | None = None
    target: Annotated[str, Field(max_length=512)] | None = None
    outcome: Outcome | None = None
    root_cause: RootCause | None = None
    other_root_causes: Annotated[tuple[RootCause, ...], Field(max_length=MAX_OTHER_ROOT_CAUSES)] | None = None
    alternatives: Annotated[tuple[RootCause, ...], Field(max_length=MAX_ALTERNATIVES)] | None = None
    unreadable: Annotated[tuple[Unreadable, ...], Field(max_length=MAX_UNREADABLE)] | None = None
    truncated: Truncated | None = None
    remediation_plan: RemediationPlan | None = None
    approval: Approval | None = None
    execution: Execution | None = None
    start_time: Timestamp | None = None
    completion_time: Timestamp | None = None
    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    usage: Usage | None = None


class DiagnosisTask(Resource):
    """A task as the API server holds it."""

    kind: Literal["DiagnosisTask"] = "DiagnosisTask"
    spec: DiagnosisTaskSpec
    status: DiagnosisTaskStatus = DiagnosisTaskStatus()

    plural: ClassVar[str] = "diagnosistasks"
    short_names: ClassVar[tuple[str, ...]] = ("dt",)
    description: ClassVar[str] = "One question about one target: why is it broken? Answered in status, with evidence."
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Cluster", ".spec.cluster"),
        Column("Target", ".status.target"),
        Column("Phase", ".status.phase"),
        Column("Root Cause", ".status.rootCause.summary"),
        Column("Confidence", ".status.rootCause.confidence", type="integer"),
        Column("Approval", ".status.approval.state"),
        Column("Age", ".metadata.creationTimestamp", type="date"),
        Column("Outcome", ".status.outcome", priority=1),
        Column("Reason", ".status.rootCause.reason", priority=1),
        Column("Root Kind", ".status.rootCause.object.kind", priority=1),
        Column("Root Object", ".status.rootCause.object.name", priority=1),
        Column("Message", '.status.conditions[?(@.type=="Succeeded")].message', priority=1),
    )

    @property
    def target_namespace(self) -> str:
        """The namespace that the target is looked for in."""
        return self.spec.target.namespace or self.metadata.namespace

    @property
    def finished(self) -> bool:
        """A finished task is never reopened."""
        return self.status.completion_time is not None

    @classmethod
    def parse(cls, body: Any) -> Self:
        """The task in a body from the API server. Raises pydantic.ValidationError."""
        return cls.model_validate(dict(body))
