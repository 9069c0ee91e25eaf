"""Who changed what, taken out of an object before it travels.

managedFields and the kubectl last-applied annotation are large and hold values that redaction must drop, yet
they are the best witnesses of a change: who, when, which path. So they become `Change` and `Applied` facts
here, next to the API server, and the object goes on without them. A field removed by an Update leaves no
managedFields entry; only the last-applied annotation still names it, which is why removed paths are facts
too.

Paths are those of `objects.leaves`: `data.DB_HOST`, `spec.template.spec.containers[name=web].image`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kubeagent.diagnosis.objects import Object, child, key_of, leaves, mapping, moment, objects, text
from kubeagent.protocol.evidence import Applied, Change
from kubeagent.resources.refs import ObjectKey

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

MAX_CHANGES = 32
MAX_PATHS = 256
MAX_APPLIED = 128
MAX_PATH_LENGTH = 256
_MAX_DEPTH = 32
_MAX_ANNOTATION = 512 * 1024
_MISSING: Final = object()
_IGNORED: Final = ("metadata", "status", "apiVersion", "kind", "stringData")


def extract(obj: Any) -> tuple[Object, tuple[Change, ...], tuple[Applied, ...]]:
    """The object without managedFields and last-applied, and the facts that were in them. Never raises."""
    if not isinstance(obj, dict):
        return {}, (), ()
    key = key_of(obj)
    clean = _without_records(obj)
    return clean, tuple(_changes(key, obj)), tuple(_applied(key, obj, clean))


def digest(value: Any) -> str:
    """The first 12 hex digits of the SHA-256 of a value: of a string itself, of anything else its compact
    JSON.
    """
    data = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(data.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _without_records(obj: Object) -> Object:
    metadata = {name: value for name, value in mapping(obj, "metadata").items() if name != "managedFields"}
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        kept = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
        metadata = {name: value for name, value in metadata.items() if name != "annotations"}
        metadata |= {"annotations": kept} if kept else {}
    return obj | {"metadata": metadata} if isinstance(obj.get("metadata"), dict) else dict(obj)


def _changes(key: ObjectKey, obj: Object) -> Iterator[Change]:
    for entry in objects(obj, "metadata", "managedFields")[:MAX_CHANGES]:
        subresource = text(entry, "subresource")
        # A controller's status writes say nothing about who configured what, and are most of the bytes.
        paths = () if subresource == "status" else _owned_paths(mapping(entry, "fieldsV1"))
        yield Change(
            object=key,
            manager=text(entry, "manager")[:MAX_PATH_LENGTH],
            operation=text(entry, "operation")[:32],
            time=moment(entry, "time"),
            subresource=subresource[:64],
            paths=paths,
        )


def _owned_paths(fields: Object) -> tuple[str, ...]:
    paths: list[str] = []
    for path in _field_paths(fields, "", 0):
        if path and len(path) <= MAX_PATH_LENGTH and not path.startswith("status"):
            paths.append(path)
        if len(paths) == MAX_PATHS:
            break
    return tuple(paths)


def _field_paths(fields: Object, path: str, depth: int) -> Iterator[str]:
    inner = [(name, item) for name, item in fields.items() if name != "." and isinstance(name, str)]
    if not inner or depth >= _MAX_DEPTH:
        yield path
        return
    for name, item in inner:
        yield from _field_paths(item if isinstance(item, dict) else {}, _step(path, name), depth + 1)


def _step(path: str, name: str) -> str:
    mark, _, rest = name.partition(":")
    if mark == "f":
        return child(path, rest)
    if mark == "k":
        return f"{path}[{_merge_keys(rest)}]"
    return f"{path}[{rest}]"


def _merge_keys(encoded: str) -> str:
    try:
        keys = msgspec.json.decode(encoded)
    except msgspec.DecodeError:
        return encoded
    if not isinstance(keys, dict):
        return encoded
    return ",".join(f"{name}={value}" for name, value in keys.items())


def _applied(key: ObjectKey, obj: Object, live: Object) -> Iterator[Applied]:
    was = _last_applied(obj)
    if not was:
        return
    now = {path: value for part in live if part not in _IGNORED for path, value in leaves(live[part], part)}
    found = 0
    for part in sorted(was):
        if part in _IGNORED:
            continue
        for path, old in leaves(was[part], part):
            state = _state(old, now.get(path, _MISSING), path, now)
            if state and len(path) <= MAX_PATH_LENGTH and found < MAX_APPLIED:
                found += 1
                yield Applied(object=key, path=path, state=state, digest=digest(old))


def _last_applied(obj: Object) -> Object:
    recorded = text(obj, "metadata", "annotations", LAST_APPLIED)
    if not recorded or len(recorded) > _MAX_ANNOTATION:
        return {}
    try:
        decoded = msgspec.json.decode(recorded)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return (
        {name: value for name, value in decoded.items() if isinstance(name, str)} if isinstance(decoded, dict) else {}
    )


def _state(old: Any, new: Any, path: str, now: dict[str, Any]) -> str:
    """`removed`, `changed` or "" for no difference that a person made."""
    if old in (None, "", {}, []):
        return ""
    if new is _MISSING:
        deeper = any(other.startswith((path + ".", path + "[")) for other in now)
        return "" if deeper else "removed"
    return "" if str(old) == str(new) else "changed"
