"""RemediationApproval: one person's decision about one plan: create-only, immutable, in the task's namespace.

A separate object, because a decision needs an identity, a time set by the server and a history, none of which an
annotation or a status field has.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from kubeagent.resources.base import Hash, Model, Name, Sentence, rule
from kubeagent.resources.kind import Column, Resource


class TaskRef(Model):
    """The task by name and uid: a name can be taken again, a uid cannot."""

    name: Name
    uid: Annotated[str, Field(min_length=1, max_length=128)]


class RemediationApprovalSpec(Model):
    """The decision."""

    task_ref: TaskRef
    plan_hash: Hash
    decision: Literal["Approve", "Reject", "Revoke"]
    approver: Annotated[str, Field(min_length=1, max_length=512)]
    reason: Sentence | None = None

    cel_rules: ClassVar[tuple[dict[str, str], ...]] = (
        rule("self == oldSelf", "a decision is immutable: create another RemediationApproval"),
    )


class RemediationApproval(Resource):
    """A decision as the API server holds it; it has no status."""

    kind: Literal["RemediationApproval"] = "RemediationApproval"
    spec: RemediationApprovalSpec

    plural: ClassVar[str] = "remediationapprovals"
    short_names: ClassVar[tuple[str, ...]] = ("rap",)
    description: ClassVar[str] = "One person's decision about one remediation plan."
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Task", ".spec.taskRef.name"),
        Column("Decision", ".spec.decision"),
        Column("Approver", ".spec.approver"),
        Column("Hash", ".spec.planHash"),
        Column("Age", ".metadata.creationTimestamp", type="date"),
    )

    @classmethod
    def parse(cls, body: Any) -> Self:
        """The decision in a body from the API server. Raises pydantic.ValidationError."""
        return cls.model_validate(dict(body))
