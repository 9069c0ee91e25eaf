"""How the target stands when nothing is known to be wrong: healthy, on its way, or not well for no known
reason.

A rollout that keeps its promise of availability is healthy however many pods are starting. Without that
promise kept, or with something half wrong (one restart, a controller that has not looked yet), it is too
early to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from kubeagent.diagnosis.objects import Object, mapping, moment, number, objects, seconds_between, text
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.services import is_ready
from kubeagent.diagnosis.troubles import is_of_now
from kubeagent.resources.refs import ObjectKey

_PATIENCE: Final = 120.0


class Standing(StrEnum):
    """What can be said of a target without findings."""

    HEALTHY = "Healthy"
    ROLLING = "RolloutInProgress"
    EARLY = "StillProgressing"
    UNWELL = "NoExplanation"


class Assessment(NamedTuple):
    """A standing, and the sentence for it."""

    standing: Standing
    message: str


def assess(scene: Scene, scope: frozenset[ObjectKey]) -> Assessment:
    """How the target stands, by the worst of what belongs to it."""
    found = list(_assessments(scene, scope))
    for standing in (Standing.EARLY, Standing.UNWELL, Standing.ROLLING):
        for assessment in found:
            if assessment.standing is standing:
                return assessment
    return Assessment(Standing.HEALTHY, f"{scene.view.target} is as it should be")


def is_starting(scene: Scene, scope: frozenset[ObjectKey]) -> bool:
    """Whether a pod of the target is on its way up and nothing is wrong with it yet."""
    hard = {trouble.pod for trouble in scene.troubles if trouble.hard}
    return any(
        key.kind == "Pod"
        and key not in hard
        and not is_ready(scene.view.get(key))
        and is_of_now(scene.view, key)
        and _young(scene, key)
        for key in scope
        if scene.view.get(key)
    )


def _assessments(scene: Scene, scope: frozenset[ObjectKey]) -> Iterator[Assessment]:
    for trouble in scene.troubles:
        if trouble.pod in scope and not trouble.hard and trouble.kind != "unready":
            yield Assessment(Standing.EARLY, f"{trouble.pod} has restarted; too early to say whether it stays up")
    for key in sorted(scope):
        obj = scene.view.get(key)
        if obj and key.kind in ("Deployment", "StatefulSet", "DaemonSet"):
            yield from _of_workload(scene, key, obj)
        elif obj and key == scene.view.target:
            yield from _of_target(scene, key, obj)


def _of_workload(scene: Scene, key: ObjectKey, obj: Object) -> Iterator[Assessment]:
    if number(obj, "status", "observedGeneration", default=-1) < number(obj, "metadata", "generation"):
        yield Assessment(Standing.EARLY, f"the controller has not yet seen the latest change of {key}")
        return
    ready, desired = counts(scene, key, obj)
    if ready >= desired and not _replacing(obj, desired):
        return
    told = f"{key} has {ready} of {desired} pods ready"
    if _promise_kept(key, obj, ready, desired):
        yield Assessment(Standing.ROLLING, f"{key} is rolling out; it stays available ({ready} of {desired} ready)")
    elif _young_pods(scene, key):
        yield Assessment(Standing.EARLY, f"{told}; the others are starting")
    else:
        yield Assessment(Standing.UNWELL, told)


def counts(scene: Scene, key: ObjectKey, obj: Object) -> tuple[int, int]:
    """How many pods are ready, and how many there should be."""
    if key.kind == "DaemonSet":
        return number(obj, "status", "numberReady"), number(obj, "status", "desiredNumberScheduled")
    return number(obj, "status", "readyReplicas"), scene.replicas(key)


def _replacing(obj: Object, desired: int) -> bool:
    updated = "updatedNumberScheduled" if text(obj, "kind") == "DaemonSet" else "updatedReplicas"
    total = number(obj, "status", "currentNumberScheduled" if text(obj, "kind") == "DaemonSet" else "replicas")
    return number(obj, "status", updated) < desired or total > desired


def _promise_kept(key: ObjectKey, obj: Object, ready: int, desired: int) -> bool:
    conditions = {text(item, "type"): text(item, "status") for item in objects(obj, "status", "conditions")}
    reasons = {text(item, "type"): text(item, "reason") for item in objects(obj, "status", "conditions")}
    if key.kind == "Deployment":
        return conditions.get("Available") == "True" and reasons.get("Progressing") != "ProgressDeadlineExceeded"
    return ready >= desired - 1 and ready > 0


def _young(scene: Scene, pod: ObjectKey) -> bool:
    obj = scene.view.get(pod)
    started = moment(obj, "status", "startTime") or moment(obj, "metadata", "creationTimestamp")
    age = seconds_between(started, scene.view.now)
    return age is None or age < _PATIENCE


def _young_pods(scene: Scene, key: ObjectKey) -> bool:
    pods = [pod for pod in scene.view.pods_of(key) if not is_ready(scene.view.get(pod))]
    return any(_young(scene, pod) for pod in pods) or scene.view.age(key) < _PATIENCE


def _of_target(scene: Scene, key: ObjectKey, obj: Object) -> Iterator[Assessment]:
    if key.kind == "Pod" and text(obj, "status", "phase") in ("Pending", "Running") and not is_ready(obj):
        if mapping(obj, "metadata").get("deletionTimestamp"):
            return
        standing = Standing.EARLY if _young(scene, key) else Standing.UNWELL
        yield Assessment(standing, f"{key} is not ready")
    if key.kind == "PersistentVolumeClaim" and text(obj, "status", "phase") == "Lost":
        yield Assessment(Standing.UNWELL, f"{key} has lost its volume")
