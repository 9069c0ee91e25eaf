"""What we need of a Kubernetes API server: typed reads for evidence, and writes to our own kinds for the hub.

Objects are parsed JSON as the server sent it; decoding thousands of them into client models costs seconds (see
docs/benchmarks.md). Errors are the tree's ClusterError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from kubeagent.protocol.reads import Get, List, Log
from kubeagent.resources.refs import ObjectKey

Object = dict[str, Any]


class Page(NamedTuple):
    """A list: its objects (each with apiVersion and kind filled in) and whether the limit cut it."""

    objects: list[Object]
    complete: bool


class Reader(Protocol):
    """Reads; raises NotFound, Forbidden, UnknownKind, ClusterUnavailable."""

    async def get(self, read: Get) -> Object:
        """One object."""
        ...

    async def list(self, read: List) -> Page:
        """The first `limit` objects of a list."""
        ...

    async def log(self, read: Log) -> str:
        """The tail of a container's log."""
        ...

    async def resolve(self, kind: str, api_version: str = "") -> tuple[str, bool]:
        """The apiVersion under which this cluster serves a kind, and whether it has a namespace."""
        ...

    async def version(self) -> str:
        """The server's version, `v1.34.4`."""
        ...


class Writer(Protocol):
    """Writes to our own kinds; raises Conflict where somebody was faster."""

    async def create(self, body: Object) -> Object:
        """Create an object."""
        ...

    async def patch(self, key: ObjectKey, patch: Mapping[str, Any], *, subresource: str = "") -> Object:
        """JSON merge patch; put metadata.resourceVersion in it to make it conditional."""
        ...

    async def delete(self, key: ObjectKey, *, uid: str) -> None:
        """Delete that very object."""
        ...


class Census(Reader, Protocol):
    """What the agent needs besides: sizes without the objects."""

    async def count(self, api_version: str, kind: str) -> int:
        """How many objects of a kind there are in the cluster."""
        ...
