"""Runbook: what a team knows about a fault, as data: when it applies, what to look at, what it means, what to do.

The seeds' form loads as it is: steps with `action: query_metrics` or `patch_resource` and templates such as
`{{.NewMemoryLimit}}`. Free-form parameters keep their fields; everything else is bounded and typed.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from kubeagent.resources.base import Model, Name, Sentence, Text, Timestamp, Word, extra
from kubeagent.resources.conditions import Conditions
from kubeagent.resources.kind import Column, Resource
from kubeagent.resources.verdict import Category

Expression = Annotated[str, Field(max_length=4096)]
Params = Annotated[dict[str, Any], Field(json_schema_extra=extra(preserve_unknown_fields=True))]
Reasons = Annotated[tuple[Word, ...], Field(max_length=50)]


class Trigger(Model):
    """When the runbook applies: a root cause reason, an event reason, a seed's errorType, or a CEL expression."""

    error_type: Word | None = None
    reasons: Reasons | None = None
    event_reasons: Reasons | None = None
    match: Expression | None = None
    severity: Literal["critical", "high", "medium", "low"] | None = None


class Step(Model):
    """One action, guarded by `when`, checked by `assert`."""

    name: Annotated[str, Field(max_length=253)] | None = None
    action: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z][a-z0-9_]*$")]
    params: Params | None = None
    when: Expression | None = None
    assert_: Expression | None = Field(default=None, alias="assert")


class RunbookVerdict(Model):
    """What the runbook concludes when its steps pass."""

    reason: Word
    category: Category | None = None
    summary: Sentence | None = None


class RemediationTemplate(Model):
    """A typed write with template variables."""

    op: Word
    target: Params | None = None
    patch: Text | None = None
    params: Params | None = None


class Verify(Model):
    """When the fix counts as done."""

    assert_: Expression | None = Field(default=None, alias="assert")
    window_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None


class RunbookSpec(Model):
    """The runbook's text."""

    description: Text | None = None
    trigger: Trigger
    cooldown_seconds: Annotated[int, Field(ge=0, le=604_800)] | None = None
    auto: bool = False
    steps: Annotated[tuple[Step, ...], Field(max_length=50)] = ()
    verdict: RunbookVerdict | None = None
    remediation: Annotated[tuple[RemediationTemplate, ...], Field(max_length=20)] | None = None
    verify: Verify | None = None
    allow_auto_remediate: bool = False


class LastRun(Model):
    """The last task that used the runbook."""

    task: Name
    namespace: Name | None = None
    outcome: Word | None = None
    time: Timestamp | None = None


class RunbookStatus(Model):
    """Whether it is usable, and how often it was used."""

    conditions: Conditions = ()
    matched: Annotated[int, Field(ge=0)] | None = None
    last_run: LastRun | None = None
    observed_generation: Annotated[int, Field(ge=-1)] | None = None


class Runbook(Resource):
    """A runbook as the API server holds it."""

    kind: Literal["Runbook"] = "Runbook"
    spec: RunbookSpec
    status: RunbookStatus = RunbookStatus()

    plural: ClassVar[str] = "runbooks"
    short_names: ClassVar[tuple[str, ...]] = ("rb",)
    description: ClassVar[str] = "When it applies, what to look at, what it means, what to do about it."
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Error Type", ".spec.trigger.errorType"),
        Column("Auto", ".spec.auto", type="boolean"),
        Column("Matched", ".status.matched", type="integer"),
        Column("Age", ".metadata.creationTimestamp", type="date"),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
    )

    @classmethod
    def parse(cls, body: Any) -> Self:
        """The runbook in a body from the API server. Raises pydantic.ValidationError."""
        return cls.model_validate(dict(body))
