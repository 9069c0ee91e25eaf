"""Reading Kubernetes objects as parsed JSON, where anything may be missing or of another type than
documented.

Rules read dozens of fields of objects that a cluster sent; a KeyError there would turn a broken workload into
a broken diagnosis. So every accessor answers with an empty value of its type instead of raising.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from kubeagent.resources.refs import ObjectKey

Object = dict[str, Any]

_MAX_DEPTH = 32


def dig(value: Any, *path: str | int) -> Any:
    """What stands at `path`, or None."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def mapping(value: Any, *path: str | int) -> Object:
    """The object at `path`, or {}."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def objects(value: Any, *path: str | int) -> list[Object]:
    """The objects of the list at `path`; what is not an object is left out."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings(value: Any, *path: str | int) -> list[str]:
    """The strings of the list at `path`."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def text(value: Any, *path: str | int) -> str:
    """The string at `path`, or ""."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str | int, default: int = 0) -> int:
    """The integer at `path`, or `default`."""
    found = dig(value, *path)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return default
    return int(found)


def flag(value: Any, *path: str | int) -> bool:
    """Whether `path` holds true."""
    return dig(value, *path) is True


def moment(value: Any, *path: str | int) -> datetime | None:
    """The RFC 3339 time at `path`, or None."""
    found = dig(value, *path)
    if not isinstance(found, str):
        return None
    try:
        parsed = datetime.fromisoformat(found)
    except ValueError:
        return None
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError:
        return None


def seconds_between(earlier: datetime | None, later: datetime | None) -> float | None:
    """How many seconds after `earlier` `later` is, if both are known."""
    return (later - earlier) / timedelta(seconds=1) if earlier and later else None


def labels_of(obj: Object) -> dict[str, str]:
    """The labels; values that are not strings are left out."""
    return string_map(obj, "metadata", "labels")


def string_map(value: Any, *path: str | int) -> dict[str, str]:
    """The map of strings at `path`."""
    found = mapping(value, *path)
    return {name: item for name, item in found.items() if isinstance(name, str) and isinstance(item, str)}


def key_of(obj: Object) -> ObjectKey:
    """The name of an object."""
    return ObjectKey(
        text(obj, "apiVersion"),
        text(obj, "kind"),
        text(obj, "metadata", "namespace"),
        text(obj, "metadata", "name"),
    )


def uid_of(obj: Object) -> str:
    """The uid, or ""."""
    return text(obj, "metadata", "uid")


def leaves(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every leaf with its field path; items of lists are named by what the API server merges them by."""
    if isinstance(value, dict) and value and depth < _MAX_DEPTH:
        for name, item in value.items():
            yield from leaves(item, child(prefix, str(name)), depth + 1)
    elif isinstance(value, list) and value and depth < _MAX_DEPTH:
        for index, item in enumerate(value):
            yield from leaves(item, element(prefix, item, index), depth + 1)
    else:
        yield prefix, value


def child(path: str, name: str) -> str:
    """The path of a field in an object: `data.DB_HOST`, or `data[app.properties]` if it has a dot."""
    if not name or any(char in name for char in "./[]= "):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


_MERGE_KEYS = ("name", "containerPort", "port", "mountPath", "key", "type", "topologyKey", "ip")


def element(path: str, item: Any, index: int) -> str:
    """The path of an item of a list: `containers[name=web]`, `args[0]`."""
    if isinstance(item, dict):
        for merge_key in _MERGE_KEYS:
            if isinstance(item.get(merge_key), str | int):
                return f"{path}[{merge_key}={item[merge_key]}]"
    return f"{path}[{index}]"


def lookup(obj: Any, path: str) -> Any:
    """The value at a field path that this module wrote, or None."""
    for step in _steps(path):
        name, equals, wanted = step.partition("=")
        if isinstance(obj, dict) and (not equals or step in obj):
            obj = obj.get(step)
        elif isinstance(obj, list):
            obj = _item(obj, step, name if equals else "", wanted)
        else:
            return None
    return obj


def _item(items: list[Any], step: str, merge_key: str, wanted: str) -> Any:
    if merge_key:
        return next((item for item in items if isinstance(item, dict) and str(item.get(merge_key)) == wanted), None)
    return items[int(step)] if step.isascii() and step.isdigit() and int(step) < len(items) else None


def _steps(path: str) -> Iterator[str]:
    rest = path
    while rest:
        if rest.startswith("["):
            step, _, rest = rest[1:].partition("]")
        else:
            cut = min((place for place in (rest.find("."), rest.find("[")) if place >= 0), default=len(rest))
            step, rest = rest[:cut], rest[cut:]
        rest = rest.removeprefix(".")
        if step:
            yield step
