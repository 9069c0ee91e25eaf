"""Looks evidence up again: every line of a root cause has to stand in the cluster, word for word, where it says.

A line says its source and its object. An event's text is searched in the events, a log line in the logs; a field, a
status or an absence is read again from the API server; what was told from managedFields or from the last-applied
annotation is told again from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from kubeagent.errors import ClusterError, NotFound
from kubeagent.protocol.reads import Get, List, Log
from kubeagent.resources.refs import ObjectKey
from tests.e2e.scene import Object, Scene

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")
_CONTAINER = re.compile(r"ontainers\[name=([^\]]+)\]")
MISSING = object()


async def unfound(scene: Scene, status: Object) -> list[str]:
    """The evidence lines of all root causes that do not stand in the cluster."""
    causes = [cause for cause in (status.get("rootCause"), *status.get("otherRootCauses", [])) if cause]
    lines = [line for cause in causes for line in cause.get("evidence", [])]
    return [f"{line['source']} of {line['object']}: {line['text']}" for line in lines if not await stands(scene, line)]


async def stands(scene: Scene, line: Object) -> bool:
    """Whether the line can be read again."""
    return await _WITNESSES[line["source"]](scene, line)


async def _event(scene: Scene, line: Object) -> bool:
    namespace = line["object"].get("namespace", "default")
    events = (await scene.api.list(List("v1", "Event", namespace))).objects
    return any(line["text"] in each.get("message", "") for each in events)


async def _log(scene: Scene, line: Object) -> bool:
    about = line["object"]
    containers = _CONTAINER.findall(about.get("fieldPath", "")) or [""]
    for previous in (False, True):
        read = Log(about["namespace"], about["name"], containers[0], previous=previous, tail_lines=1000)
        try:
            if line["text"] in (await scene.api.log(read)).splitlines():
                return True
        except ClusterError:
            continue
    return False


async def _status(scene: Scene, line: Object) -> bool:
    """The text is the string that stood at the path. A container's state moves on, so events may bear it out too."""
    body = await _body(scene, line)
    return line["text"] in json.dumps(body, ensure_ascii=False).replace('\\"', '"') or await _event(scene, line)


async def _field(scene: Scene, line: Object) -> bool:
    path, _, value = line["text"].partition(": ")
    found = at(await _body(scene, line), path)
    return found is not MISSING and value in (found, json.dumps(found, ensure_ascii=False, sort_keys=True))


async def _managed_fields(scene: Scene, line: Object) -> bool:
    manager, operation, time = line["text"].rsplit(" ", 2)
    entries = (await _body(scene, line))["metadata"]["managedFields"]
    return any((each["manager"], each["operation"], each.get("time")) == (manager, operation, time) for each in entries)


async def _last_applied(scene: Scene, line: Object) -> bool:
    path, _, state = line["text"].partition(": ")
    body = await _body(scene, line)
    applied = at(json.loads(body["metadata"]["annotations"][LAST_APPLIED]), path)
    live = at(body, path)
    return applied is not MISSING and (live is MISSING if state == "removed" else live not in (MISSING, applied))


async def _absent(scene: Scene, line: Object) -> bool:
    try:
        await _body(scene, line)
    except NotFound:
        return True
    return False


async def _body(scene: Scene, line: Object) -> Object:
    about = line["object"]
    key = ObjectKey(about["apiVersion"], about["kind"], about.get("namespace", ""), about["name"])
    return await scene.api.get(Get(key))


def at(body: Any, path: str) -> Any:
    """The value at a path such as `spec.ports[name=http].targetPort`; MISSING if there is none."""
    here = body
    for key, selector in _STEP.findall(path):
        here = _member(here, key) if key else _item(here, selector)
        if here is MISSING:
            return MISSING
    return here


def _member(here: Any, key: str) -> Any:
    return here.get(key, MISSING) if isinstance(here, dict) else MISSING


def _item(here: Any, selector: str) -> Any:
    name, equals, value = selector.partition("=")
    if isinstance(here, dict):
        return here.get(selector.strip("\"'"), MISSING)
    if not equals:
        return here[int(name)] if name.isdigit() and int(name) < len(here) else MISSING
    return next((each for each in here if str(each.get(name)) == value.strip('"')), MISSING)


_WITNESSES: dict[str, Callable[[Scene, Object], Awaitable[bool]]] = {
    "event": _event,
    "log": _log,
    "status": _status,
    "field": _field,
    "managedFields": _managed_fields,
    "last-applied": _last_applied,
    "absent": _absent,
}
