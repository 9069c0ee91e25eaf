"""The Kubernetes API over `kubernetes.aio`'s connection, as bytes: its typed models are never touched.

The library brings what is tedious to get right (kubeconfig, exec plugins, token rotation, TLS); the rest is paths out
of a closed table, query parameters, and msgspec. Nothing here can watch, exec, proxy or name a Secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from kubeagent.errors import ClusterError, ClusterUnavailable, Conflict, Forbidden, Invalid, NotFound, UnknownKind
from kubeagent.kube.discovery import ACCEPT, Discovery
from kubeagent.kube.port import Object, Page
from kubeagent.kube.translate import error_of
from kubeagent.kube.where import Access, access
from kubeagent.protocol.kinds import Kind, by_kind, is_secret
from kubeagent.protocol.reads import Get, List, Log
from kubeagent.resources.refs import ObjectKey

FIELD_MANAGER: Final = "kubeagent"
TIMEOUT: Final = 20.0
CONNECT_TIMEOUT: Final = 5.0
PAGE: Final = 500
MAX_ANSWER: Final = 32 * 1024 * 1024
LOG_PIECE: Final = 4
"""So many times the wanted length of a log is read to find its end."""

T = TypeVar("T")

_MERGE_PATCH: Final = "application/merge-patch+json"
_NO_LOG: Final = ("not found", "waiting to start", "is terminated", "not available")


class _TooLarge(ClusterError):
    """More than we are willing to hold in memory."""


class _Meta(msgspec.Struct, frozen=True):
    continue_: str = msgspec.field(name="continue", default="")
    remaining: int = msgspec.field(name="remainingItemCount", default=0)


class _List(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    items: list[Object] | None = None
    metadata: _Meta = _Meta()


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    git_version: str = ""


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_LIST: Final = msgspec.json.Decoder(_List)
_VERSION: Final = msgspec.json.Decoder(_Version)


class Client:
    """Reader and Writer over one cluster. Get one from `connect`."""

    def __init__(self, where: Access) -> None:
        self._api = where.api
        self._server = where.server
        self._discovery = Discovery(self._discover)
        self.default_namespace = where.namespace

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get(self, read: Get) -> Object:
        """One object. Raises NotFound, Forbidden, UnknownKind, ClusterUnavailable."""
        row = await self._row(read.key.kind, read.key.api_version)
        return await self._object("GET", _path(row, read.key.namespace, read.key.name))

    async def list(self, read: List) -> Page:
        """The first `limit` objects of a list, page by page."""
        row = await self._row(read.kind, read.api_version)
        path = _path(row, read.namespace)
        selectors = {"labelSelector": read.label_selector, "fieldSelector": read.field_selector}
        objects: list[Object] = []
        token, most, size = "", PAGE, 0
        while True:
            limit = min(most, read.limit + 1 - len(objects))  # one more shows whether the limit cut anything
            try:
                page, length = await self._page(path, {**selectors, "limit": str(limit), "continue": token})
            except _TooLarge:
                if limit == 1:
                    return Page(objects, complete=False)
                most = max(1, limit // 8)
                continue
            except Conflict:  # 410: the list moved on while we read it
                return Page(objects, complete=False)
            size += length
            named = {"apiVersion": page.api_version or row.api_version, "kind": row.kind}
            objects += [{**named, **item} for item in page.items or ()]
            token = page.metadata.continue_
            if not token or len(objects) > read.limit or size > MAX_ANSWER:
                return Page(objects[: read.limit], complete=not token and len(objects) <= read.limit)

    async def log(self, read: Log) -> str:
        """The tail of a container's log. NotFound if there is none (yet, or of an instance before).

        The API server's limitBytes cuts off the end, which is what matters: so a longer piece is asked for, fewer
        lines where that was cut too, and the end of what came is kept.
        """
        lines, most = read.tail_lines, LOG_PIECE * max(1, read.limit_bytes)
        while len(piece := await self._log(read, lines, most)) >= most and lines > 1:
            lines = max(1, lines // 8)
        return _end(piece, read.limit_bytes).decode("utf-8", "replace")

    async def _log(self, read: Log, lines: int, most: int) -> bytes:
        path = _path(_POD, read.namespace, read.pod) + "/log"
        query = {
            "container": read.container,
            "previous": "true" if read.previous else "",
            "tailLines": str(lines),
            "limitBytes": str(most),
        }
        try:
            return await self._call("GET", path, query)
        except Invalid as exc:
            if any(sign in exc.message for sign in _NO_LOG):
                raise NotFound(exc.message) from exc
            raise

    async def resolve(self, kind: str, api_version: str = "") -> tuple[str, bool]:
        """The apiVersion under which this cluster serves a kind, and whether it has a namespace."""
        row = await self._row(kind, api_version)
        return row.api_version, row.namespaced

    async def version(self) -> str:
        """The server's version, `v1.34.4`."""
        return _decoded(_VERSION, await self._call("GET", "/version")).git_version

    async def count(self, api_version: str, kind: str) -> int:
        """How many objects of a kind there are: the server counts, and sends one."""
        page, _ = await self._page(_path(await self._row(kind, api_version)), {"limit": "1"})
        return len(page.items or ()) + page.metadata.remaining

    async def create(self, body: Object) -> Object:
        """Create an object."""
        row = await self._row(str(body.get("kind", "")), str(body.get("apiVersion", "")))
        namespace = str(body.get("metadata", {}).get("namespace", ""))
        return await self._object("POST", _path(row, namespace), {"fieldManager": FIELD_MANAGER}, body)

    async def patch(self, key: ObjectKey, patch: Mapping[str, Any], *, subresource: str = "") -> Object:
        """JSON merge patch; put metadata.resourceVersion in it to make it conditional."""
        row = await self._row(key.kind, key.api_version)
        path = _path(row, key.namespace, key.name) + (f"/{_segment(subresource)}" if subresource else "")
        return await self._object("PATCH", path, {"fieldManager": FIELD_MANAGER}, dict(patch))

    async def delete(self, key: ObjectKey, *, uid: str) -> None:
        """Delete that very object."""
        row = await self._row(key.kind, key.api_version)
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._call("DELETE", _path(row, key.namespace, key.name), body=body)

    async def _row(self, kind: str, api_version: str) -> Kind:
        row = None if is_secret(kind) else by_kind(kind, api_version) or await self._discovery.find(kind, api_version)
        if is_secret(kind) or (row is not None and (is_secret(row.kind) or is_secret(row.plural))):
            raise Forbidden("Secrets are never read by KubeAgent")
        if row is None:
            raise UnknownKind(f"{self._server} serves no kind {kind!r}" + (f" in {api_version}" if api_version else ""))
        return row

    async def _page(self, path: str, query: Mapping[str, str]) -> tuple[_List, int]:
        """A page, and its length in bytes."""
        answer = await self._call("GET", path, query)
        return _decoded(_LIST, answer), len(answer)

    async def _object(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        return _decoded(_OBJECT, await self._call(method, path, query, body))

    async def _discover(self, path: str) -> bytes:
        return await self._call("GET", path, accept=ACCEPT)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        *,
        accept: str = "application/json",
    ) -> bytes:
        """One request. Raises the tree's ClusterError for anything but a success."""
        headers = {"Accept": accept}
        if method == "PATCH":
            headers["Content-Type"] = _MERGE_PATCH
        what = f"{method} {self._server}{path}"
        try:
            request = await self._api.param_serialize(
                method,
                path,
                query_params=[(name, value) for name, value in (query or {}).items() if value],
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            timeout = aiohttp.ClientTimeout(total=TIMEOUT, connect=CONNECT_TIMEOUT)
            response: Any = await self._api.call_api(*request, _request_timeout=timeout)
            answer = await _read(response.response.content, what)
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            raise ClusterUnavailable(f"{what}: {str(exc) or type(exc).__name__}") from exc
        if not 200 <= response.status < 300:
            raise error_of(response.status, answer, what)
        return answer


@asynccontextmanager
async def connect(context: str | None = None) -> AsyncIterator[Client]:
    """A client for the named context, the current one, or this pod's cluster. Raises ConfigError.

    It does not ask the server anything: an API server that is down shows with the first request.
    """
    client = Client(await access(context))
    try:
        yield client
    finally:
        await client.close()


_POD: Final = by_kind("Pod") or Kind("v1", "Pod", "pods")


def _path(row: Kind, namespace: str = "", name: str | None = None) -> str:
    if name is None:
        return row.path(_segment(namespace) if namespace else "")
    return row.path(_segment(namespace) if namespace else "", _segment(name))


def _segment(text: str) -> str:
    """One path segment; what would climb out of it or vanish from it is refused."""
    if text in ("", ".", ".."):
        raise Invalid(f"{text!r} is not a name")
    return quote(text, safe="")


async def _read(content: aiohttp.StreamReader, what: str) -> bytes:
    """The whole body, if it is not larger than an agent's memory bears."""
    answer = bytearray()
    async for chunk in content.iter_any():
        answer += chunk
        if len(answer) > MAX_ANSWER:
            raise _TooLarge(f"{what}: the answer is larger than {MAX_ANSWER // 2**20} MiB")
    return bytes(answer)


def _end(piece: bytes, length: int) -> bytes:
    """The last `length` bytes, from the beginning of a line if there is one: half a line may hold half a secret."""
    if len(piece) <= length:
        return piece
    end = piece[len(piece) - length :]
    return end.partition(b"\n")[2] or end


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ClusterError(f"the API server's answer is not understood: {exc}") from exc
