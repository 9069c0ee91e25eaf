"""What makes a model a Kubernetes kind: metadata, names, scope and printer columns."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from kubeagent.resources.base import API_VERSION, Model, Timestamp
from kubeagent.resources.refs import ObjectKey


class Column(NamedTuple):
    """A printer column; priority 1 shows only with `-o wide`."""

    name: str
    json_path: str
    type: Literal["string", "integer", "date", "boolean", "number"] = "string"
    priority: int = 0


class Metadata(Model):
    """The part of ObjectMeta that we read."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Resource(Model):
    """An object of one of our kinds."""

    api_version: Literal["kubeagent.io/v1"] = "kubeagent.io/v1"
    kind: str
    metadata: Metadata
    spec: Any
    status: Any = None

    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    description: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    namespaced: ClassVar[bool] = True

    @property
    def key(self) -> ObjectKey:
        """The hashable name."""
        return ObjectKey(API_VERSION, self.kind, self.metadata.namespace, self.metadata.name)
