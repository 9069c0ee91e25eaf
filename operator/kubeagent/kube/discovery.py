"""Kinds that are not in our table, from the cluster's own aggregated discovery: two requests for all groups, cached.

A miss reads it again (a CRD may just have been installed), but not more often than every half minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from kubeagent.errors import ClusterError, ClusterUnavailable
from kubeagent.protocol.kinds import Kind

ACCEPT: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
FRESH: Final = 300.0
AGAIN_AFTER: Final = 30.0

Fetch = Callable[[str], Awaitable[bytes]]


class _ResponseKind(msgspec.Struct, frozen=True):
    kind: str = ""


class _Resource(msgspec.Struct, frozen=True, rename="camel"):
    resource: str
    scope: str = "Namespaced"
    response_kind: _ResponseKind | None = None
    singular_resource: str = ""
    short_names: list[str] = []


class _Version(msgspec.Struct, frozen=True):
    version: str
    resources: list[_Resource] = []


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()
    versions: list[_Version] = []


class _Groups(msgspec.Struct, frozen=True):
    items: list[_Group] = []


class Discovery:
    """What the cluster serves, by kind. `fetch` gets a path with the aggregated Accept header."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._rows: tuple[Kind, ...] = ()
        self._read_at = float("-inf")

    async def find(self, kind: str, api_version: str = "") -> Kind | None:
        """The row for a kind; the server's preferred version unless one is named."""
        found = self._look(kind, api_version)
        age = self._clock() - self._read_at
        if age > FRESH or (found is None and age > AGAIN_AFTER):
            await self._read()
            found = self._look(kind, api_version)
        return found

    def _look(self, kind: str, api_version: str) -> Kind | None:
        wanted = [row for row in self._rows if not api_version or row.api_version == api_version]
        exact = (row for row in wanted if row.kind == kind)
        word = kind.lower()
        loose = (row for row in wanted if word in (row.kind.lower(), row.plural, *row.aliases))
        return next(exact, None) or next(loose, None)

    async def _read(self) -> None:
        before = self._read_at
        async with self._lock:
            if self._read_at > before:  # somebody else was faster
                return
            try:
                core, groups = await asyncio.gather(self._fetch("/api"), self._fetch("/apis"))
                self._rows = (*parse(core), *parse(groups))
            except msgspec.DecodeError as exc:
                raise ClusterUnavailable(f"the API server's discovery is not understood: {exc}") from exc
            except ClusterError:
                if not self._rows:
                    raise
            self._read_at = self._clock()


def parse(body: bytes) -> list[Kind]:
    """The rows of one APIGroupDiscoveryList, preferred versions first as the server gives them."""
    groups = msgspec.json.decode(body, type=_Groups)
    return [
        Kind(
            api_version=f"{group.metadata.name}/{version.version}" if group.metadata.name else version.version,
            kind=resource.response_kind.kind,
            plural=resource.resource,
            namespaced=resource.scope == "Namespaced",
            aliases=tuple(filter(None, (resource.singular_resource, *resource.short_names))),
        )
        for group in groups.items
        for version in group.versions
        for resource in version.resources
        if resource.response_kind is not None and resource.response_kind.kind
    ]
