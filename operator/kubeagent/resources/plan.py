"""The remediation side of a task's status: the plan, its approval and its execution.

The shapes are part of the contract and therefore complete; what fills them (planner, approval, remediator) reads and
writes no other form. Patches are strings of RFC 6902: structured JSON would be re-encoded and the hash lost.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from kubeagent.resources.base import Hash, Model, Name, ObjectReference, Sentence, Text, Timestamp, Word

MAX_STEPS = 20
MAX_DIFF_BYTES = 64 * 1024

Patch = Annotated[str, Field(max_length=MAX_DIFF_BYTES)]


class PlanStep(Model):
    """One typed write, its diff as the server's dry-run gave it, and what takes it back."""

    op: Literal[
        "patch",
        "scale",
        "rolloutUndo",
        "rolloutRestart",
        "deletePod",
        "cordon",
        "uncordon",
        "suspend",
        "resume",
        "create",
    ]
    object: ObjectReference
    patch: Patch | None = None
    diff: Patch | None = None
    inverse: Patch | None = None


class RemediationPlan(Model):
    """What would be done, bound to a hash that an approval names."""

    hash: Hash | None = None
    created_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    risk: Literal["low", "medium", "high"] | None = None
    reversible: bool | None = None
    steps: Annotated[tuple[PlanStep, ...], Field(max_length=MAX_STEPS)] = ()
    manual_steps: Annotated[tuple[Text, ...], Field(max_length=MAX_STEPS)] = ()
    impact: Sentence | None = None


class ApprovalState(StrEnum):
    """Where the approval of the current plan stands."""

    NOT_REQUIRED = "NotRequired"
    PENDING = "Pending"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    REVOKED = "Revoked"


class ApprovalDecision(Model):
    """One person's decision, as recorded by a RemediationApproval."""

    name: Name
    uid: Word
    approver: Annotated[str, Field(max_length=512)]
    decision: Literal["Approve", "Reject", "Revoke"]
    time: Timestamp | None = None


class Approval(Model):
    """Who approved what, and what it still takes."""

    state: ApprovalState
    required: Annotated[int, Field(ge=0, le=10)] | None = None
    four_eyes: Literal["prefer", "require", "off"] | None = None
    plan_hash: Hash | None = None
    expires_at: Timestamp | None = None
    decisions: Annotated[tuple[ApprovalDecision, ...], Field(max_length=50)] | None = None


class Snapshot(Model):
    """Where the state before the first step is kept; never the state itself."""

    digest: Hash
    where: Annotated[str, Field(max_length=512)]


class ExecutedStep(Model):
    """What became of a step."""

    index: Annotated[int, Field(ge=0, le=MAX_STEPS - 1)]
    state: Literal["Pending", "Applied", "Failed", "RolledBack"]
    message: Sentence | None = None
    time: Timestamp | None = None


class Outcome(Model):
    """A verification or a rollback: how it stands and why."""

    state: Literal["Running", "Passed", "Failed", "Conflict"]
    message: Sentence | None = None
    time: Timestamp | None = None


class Execution(Model):
    """How the approved plan is getting on."""

    steps: Annotated[tuple[ExecutedStep, ...], Field(max_length=MAX_STEPS)] = ()
    snapshot: Snapshot | None = None
    verification: Outcome | None = None
    rollback: Outcome | None = None
