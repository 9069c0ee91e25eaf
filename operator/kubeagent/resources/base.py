"""What the four kinds share: frozen camelCase models, bounded strings, and the marks that the schema needs.

Every string and list is bounded, because the API server's CEL cost estimator refuses rules over unbounded ones and
because a status may not grow without limit (200 KiB in all). Optional means absent, never null.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from kubeagent.resources.refs import ObjectKey

GROUP = "kubeagent.io"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""RFC 1123 label: namespaces and cluster names."""


class Model(BaseModel):
    """A part of a resource: frozen, camelCase on the wire, unknown fields ignored (the server pruned them already)."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def to_json(self) -> dict[str, Any]:
        """The JSON form: camelCase, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def extra(**marks: Any) -> dict[str, Any]:
    """`x-kubernetes-*` marks for `Field(json_schema_extra=...)`: `extra(list_type="set")`."""
    return {f"x-kubernetes-{name.replace('_', '-')}": value for name, value in marks.items()}


def rule(expression: str, message: str, **more: str) -> dict[str, str]:
    """One CEL rule of `x-kubernetes-validations`."""
    return {"rule": expression, "message": message, **more}


def to_rfc3339(moment: datetime) -> str:
    """`2026-11-21T09:00:00Z`: what metav1.Time prints, whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Timestamp = Annotated[datetime, AfterValidator(_with_zone), PlainSerializer(to_rfc3339, when_used="json")]
Label = Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=253)]
Word = Annotated[str, Field(max_length=128)]
Sentence = Annotated[str, Field(max_length=1024)]
Text = Annotated[str, Field(max_length=2048)]
Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Percent = Annotated[int, Field(ge=0, le=100)]


class ObjectReference(Model):
    """An object, and in it the field, that a statement is about."""

    api_version: Word | None = None
    kind: Word
    namespace: Name | None = None
    name: Name
    field_path: Annotated[str, Field(max_length=512)] | None = None

    @classmethod
    def of(cls, key: ObjectKey, field_path: str | None = None) -> Self:
        """The reference that names the same object as `key`."""
        return cls(
            api_version=key.api_version or None,
            kind=key.kind,
            namespace=key.namespace or None,
            name=key.name,
            field_path=field_path,
        )

    @property
    def key(self) -> ObjectKey:
        """The hashable name, without the field."""
        return ObjectKey(self.api_version or "", self.kind, self.namespace or "", self.name)

    def __str__(self) -> str:
        return str(self.key) + (f" {self.field_path}" if self.field_path else "")
