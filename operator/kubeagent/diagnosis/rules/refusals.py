"""Workloads whose pods the API server refuses, and what all findings about that have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kubeagent.diagnosis.findings import Finding, Reason, State, states
from kubeagent.diagnosis.history import differences, revisions
from kubeagent.diagnosis.objects import moment, number, objects, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.scene import Scene
from kubeagent.resources.refs import ObjectKey

LOOKS_AT: Final = "FailedCreate events and ReplicaFailure conditions of a workload that has too few pods"
_RECENT: Final = timedelta(minutes=20)
_CREATORS: Final = ("ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController")


@dataclass(frozen=True)
class Refused:
    """A creator of pods that the API server refuses, and its words."""

    creator: ObjectKey
    workload: ObjectKey
    message: str
    quote: Quote
    time: datetime | None


def refusals(scene: Scene) -> Iterator[Refused]:
    """Who has too few pods because the API server does not let it make them."""
    view = scene.view
    for kind in _CREATORS:
        for key in view.kind(kind):
            found = _condition(scene, key) or _event(scene, key)
            if found and _lacks_pods(scene, key):
                yield Refused(key, view.workload_of(key), found.text, found, found.time)


def _condition(scene: Scene, key: ObjectKey) -> Quote | None:
    for item in objects(scene.view.get(key), "status", "conditions"):
        if text(item, "type") == "ReplicaFailure" and text(item, "status") == "True":
            path = "status.conditions[type=ReplicaFailure].message"
            return Quote("status", key, text(item, "message"), moment(item, "lastTransitionTime"), path)
    return None


def _event(scene: Scene, key: ObjectKey) -> Quote | None:
    failed = scene.view.events(key, "FailedCreate")
    made = scene.view.events(key, "SuccessfulCreate")
    last = failed[-1] if failed else None
    if last is None or (last.time and scene.view.now - last.time > _RECENT):
        return None
    later = made and made[-1].time and last.time and made[-1].time > last.time
    return None if later else last.quote


def _lacks_pods(scene: Scene, key: ObjectKey) -> bool:
    obj = scene.view.get(key)
    match key.kind:
        case "DaemonSet":
            return number(obj, "status", "currentNumberScheduled") < number(obj, "status", "desiredNumberScheduled")
        case "Job":
            return not any(number(obj, "status", name) for name in ("active", "succeeded"))
        case _:
            return number(obj, "status", "replicas") < scene.replicas(key)


def finding(
    scene: Scene,
    refused: Refused,
    reason: Reason,
    key: ObjectKey,
    field: str,
    summary: str,
    certain: bool = True,
) -> Finding:
    alteration = scene.alteration(key, field) if field else None
    return Finding(
        reason,
        key,
        f"{summary}{scene.told(alteration)}",
        field=field,
        message=summary,
        quotes=(
            refused.quote,
            *(scene.field_quotes(key, field) if field else ()),
            *_changes(scene, key, field),
        ),
        effects=states(State(refused.creator)),
        alteration=alteration,
        since=refused.time,
        certain=certain,
    )


def _changes(scene: Scene, key: ObjectKey, field: str) -> tuple[Quote, ...]:
    return scene.change_quotes(key, field) if field else ()


def is_newer(scene: Scene, key: ObjectKey, workload: ObjectKey) -> bool:
    """Whether the object was made or changed after the workload got its present template."""
    times = [item.time for item in scene.view.changes(key) if item.time]
    times += [made] if (made := moment(scene.view.get(key), "metadata", "creationTimestamp")) else []
    template = _template_since(scene, workload)
    return bool(times) and template is not None and max(times) > template


def _template_since(scene: Scene, workload: ObjectKey) -> datetime | None:
    """When the template last changed in more than annotations; a restart is no change."""
    kept = revisions(scene.view, workload)
    changed = [item for item in differences(scene.view, workload) if ".annotations" not in item.path]
    if len(kept) > 1 and changed:
        return changed[0].time
    oldest = kept[-1].created if kept else None
    return oldest or moment(scene.view.get(workload), "metadata", "creationTimestamp")
