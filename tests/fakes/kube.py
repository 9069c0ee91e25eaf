"""A cluster in memory: what units use instead of an API server. tests/contract proves the parts that we rely on.

It keeps objects as they are given, counts resourceVersions, refuses stale writes, keeps `status` behind its
subresource for the kinds that have one, and knows the selectors that gathering uses. It has no schema, no defaults
and no controllers.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from kubeagent.errors import ClusterUnavailable, Conflict, Forbidden, Invalid, NotFound, UnknownKind
from kubeagent.kube.port import Object, Page
from kubeagent.protocol.kinds import by_kind
from kubeagent.protocol.reads import Get, List, Log, Read
from kubeagent.resources.base import API_VERSION, GROUP
from kubeagent.resources.refs import ObjectKey

KUBE_SYSTEM_UID = "11111111-2222-3333-4444-555555555555"
OWN_KINDS = {
    "DiagnosisTask": True,
    "Runbook": True,
    "ManagedCluster": False,
    "RemediationApproval": True,
}
"""Our own kinds, and whether they have a namespace."""


class FakeCluster:
    """Reader and Writer. `forbidden` holds kinds that may not be read, `down` makes every call fail."""

    def __init__(self, *objects: Object, forbidden: Iterable[str] = ()) -> None:
        self.objects: dict[ObjectKey, Object] = {}
        self.logs: dict[tuple[str, str, str, bool], str] = {}
        self.forbidden = set(forbidden)
        self.down = False
        self.asked: list[Read] = []
        self._version = 100
        self.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": KUBE_SYSTEM_UID}})
        for obj in objects:
            self.add(obj)

    def add(self, obj: Object) -> Object:
        """Put an object there as a controller would, with whatever metadata and status it has."""
        stored = copy.deepcopy(obj)
        metadata = stored.setdefault("metadata", {})
        metadata.setdefault("uid", str(uuid.uuid5(uuid.NAMESPACE_OID, str(key_of(stored)))))
        metadata.setdefault("generation", 1)
        metadata.setdefault("creationTimestamp", "2026-11-21T09:00:00Z")
        metadata["resourceVersion"] = self._next()
        self.objects[key_of(stored)] = stored
        return stored

    async def get(self, read: Get) -> Object:
        """One object."""
        self._check(read, read.key.kind)
        await self.resolve(read.key.kind, read.key.api_version)
        return copy.deepcopy(self._stored(read.key))

    async def list(self, read: List) -> Page:
        """The first `limit` objects of a list."""
        self._check(read, read.kind)
        await self.resolve(read.kind, read.api_version)
        found = [
            copy.deepcopy(obj)
            for key, obj in sorted(self.objects.items())
            if key.kind == read.kind
            and _same_group(key.api_version, read.api_version)
            and read.namespace in ("", key.namespace)
            and labels_match(read.label_selector, obj.get("metadata", {}).get("labels", {}))
            and fields_match(read.field_selector, obj)
        ]
        return Page(found[: read.limit], complete=len(found) <= read.limit)

    async def log(self, read: Log) -> str:
        """The tail of a container's log."""
        self._check(read, "Pod/log")
        for (namespace, pod, container, previous), text in self.logs.items():
            if (namespace, pod, previous) == (read.namespace, read.pod, read.previous) and read.container in (
                "",
                container,
            ):
                return "\n".join(text.splitlines()[-read.tail_lines :])[-read.limit_bytes :]
        raise NotFound(f"no log of {read.namespace}/{read.pod} {read.container}")

    async def resolve(self, kind: str, api_version: str = "") -> tuple[str, bool]:
        """The apiVersion of a kind, and whether it has a namespace."""
        if kind == "Secret":
            raise Forbidden("Secrets are never read by KubeAgent")
        if kind in OWN_KINDS and api_version in ("", API_VERSION):
            return API_VERSION, OWN_KINDS[kind]
        row = by_kind(kind, api_version)
        if row is not None:
            return row.api_version, row.namespaced
        for key in self.objects:
            if key.kind == kind and api_version in ("", key.api_version):
                return key.api_version, bool(key.namespace)
        raise UnknownKind(f"the fake serves no kind {kind!r}")

    async def version(self) -> str:
        """The server's version."""
        self._check(None, "")
        return "v1.34.4"

    async def count(self, api_version: str, kind: str) -> int:
        """How many objects of a kind there are."""
        self._check(None, kind)
        return sum(key.kind == kind and _same_group(key.api_version, api_version) for key in self.objects)

    async def create(self, body: Object) -> Object:
        """Create an object."""
        self._check(None, str(body.get("kind", "")))
        fresh = copy.deepcopy(body)
        metadata = fresh.setdefault("metadata", {})
        if "name" not in metadata:
            metadata["name"] = f"{metadata.get('generateName', 'unnamed-')}{self._version}"
        if key_of(fresh) in self.objects:
            raise Conflict(f"{key_of(fresh)} already exists")
        if _has_status_apart(fresh):
            fresh.pop("status", None)
        return copy.deepcopy(self.add(fresh))

    async def patch(self, key: ObjectKey, patch: Mapping[str, Any], *, subresource: str = "") -> Object:
        """JSON merge patch."""
        self._check(None, key.kind)
        before = self._stored(key)
        metadata = patch.get("metadata", {})
        for name in ("resourceVersion", "uid"):
            if name in metadata and metadata[name] != before["metadata"][name]:
                raise Conflict(f"{key} has been modified; {name} is another")
        allowed = _part(patch, subresource) if _has_status_apart(before) else dict(patch)
        after = merged(before, {**allowed, "metadata": {**allowed.get("metadata", {}), "resourceVersion": None}})
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if after == before:
            return copy.deepcopy(before)
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        after["metadata"]["resourceVersion"] = self._next()
        self.objects[key] = after
        return copy.deepcopy(after)

    async def delete(self, key: ObjectKey, *, uid: str) -> None:
        """Delete that very object."""
        self._check(None, key.kind)
        if self._stored(key)["metadata"]["uid"] != uid:
            raise Conflict(f"{key} has another uid")
        del self.objects[key]

    def _stored(self, key: ObjectKey) -> Object:
        if not key.name:
            raise Invalid("'' is not a name")
        for candidate, obj in self.objects.items():
            same = (candidate.kind, candidate.namespace, candidate.name) == (key.kind, key.namespace, key.name)
            if same and _same_group(candidate.api_version, key.api_version):
                return obj
        raise NotFound(f"{key} not found")

    def _check(self, read: Read | None, kind: str) -> None:
        if read is not None:
            self.asked.append(read)
        if self.down:
            raise ClusterUnavailable("the API server is down")
        if kind in self.forbidden or kind == "Secret":
            raise Forbidden(f"{kind} is forbidden")

    def _next(self) -> str:
        self._version += 1
        return str(self._version)


def key_of(obj: Object) -> ObjectKey:
    """The name of an object."""
    metadata = obj.get("metadata", {})
    return ObjectKey(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata.get("name", ""))


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


_CLAUSE = re.compile(r"(!?)([^\s!=(),]+)\s*(?:(in|notin)\s*\(([^)]*)\)|(==|=|!=)\s*([^,\s]*))?")


def labels_match(selector: str, labels: Mapping[str, str]) -> bool:
    """Kubernetes label selectors, equality and sets."""
    for negated, name, set_op, values, op, value in _CLAUSE.findall(selector):
        if set_op:
            among = labels.get(name) in {each.strip() for each in values.split(",")}
            good = among if set_op == "in" else not among
        elif op:
            good = (labels.get(name) == value) is (op != "!=")
        else:
            good = (name in labels) is not bool(negated)
        if not good:
            return False
    return True


def fields_match(selector: str, obj: Object) -> bool:
    """Field selectors, by path."""
    for clause in filter(None, selector.split(",")):
        path, op, wanted = re.split(r"(!=|==|=)", clause, maxsplit=1)
        value: Any = obj
        for part in path.strip().split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if (str(value if value is not None else "") == wanted) is (op == "!="):
            return False
    return True


def _same_group(one: str, other: str) -> bool:
    return one.rpartition("/")[0] == other.rpartition("/")[0]


def _has_status_apart(obj: Object) -> bool:
    return str(obj.get("apiVersion", "")).startswith(f"{GROUP}/")


def _part(patch: Mapping[str, Any], subresource: str) -> dict[str, Any]:
    if subresource == "status":
        return {name: value for name, value in patch.items() if name == "status"}
    return {name: value for name, value in patch.items() if name != "status"}
