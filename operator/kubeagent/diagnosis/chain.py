"""The chain of a root cause: the target, what is seen there, step by step what explains it, and the root.

It begins with what was asked about. Each link is a sentence that is true of its object, so for a Deployment whose
old pods still serve it does not say that it is down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kubeagent.diagnosis import services
from kubeagent.diagnosis.causes import Cause, Graph
from kubeagent.diagnosis.findings import Finding
from kubeagent.diagnosis.history import is_superseded
from kubeagent.diagnosis.objects import Object, text
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.standing import counts
from kubeagent.diagnosis.topology import Relation
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import MAX_CHAIN

Explained = Mapping[tuple[str, ObjectKey, str], tuple[Finding, ...]]
Link = tuple[ObjectKey, str, str, str]
"""Object, field path, reason, message."""

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_MAX_NAMED = 3


def path_of(scene: Scene, graph: Graph, cause: Cause, own: frozenset[ObjectKey]) -> list[Finding]:
    """From a symptom at the target down to just above the root, each step explained by the next."""
    below = {item.identity: item for item in cause.explains if item.reason.is_symptom}
    if not below:
        return []
    target = scene.view.target
    ours = [item for item in below.values() if item.object in own]
    start = min(
        ours or below.values(),
        key=lambda item: (item.object != target, not item.because, item.object.kind != "Pod", item.identity),
    )
    explained = graph.explained()
    path = [start]
    while len(path) < MAX_CHAIN - 2:
        seen = {item.object for item in path}
        steps = [
            item for item in explained.get(path[-1].identity, ()) if item.identity in below and item.object not in seen
        ]
        if not steps:
            break
        path.append(min(steps, key=lambda item: _nearness(explained, item, steps)))
    return path


def _nearness(explained: Explained, item: Finding, steps: Sequence[Finding]) -> tuple[object, ...]:
    """Of several explanations the nearest comes first: that which most of the others explain."""
    others = {other.identity for other in steps}
    above = {cause.identity for cause in explained.get(item.identity, ())}
    return -len(above & others), not item.because, item.identity


def links(scene: Scene, path: Sequence[Finding], root: Finding) -> Iterator[Link]:
    """Target, symptoms, root."""
    target = scene.view.target
    at_target = bool(path) and path[0].object == target and (len(path) > 1 or target != root.object or bool(root.field))
    if (
        not at_target
        and scene.view.get(target)
        and (target != root.object or any(item.object != target for item in path))
    ):
        yield target, "", *_of_target(scene, target, path)
    for position, finding in enumerate(path):
        if finding.object != root.object or (position == 0 and at_target):
            yield finding.object, "", finding.reason.code, finding.text
    yield root.object, root.field, root.reason.code, root.text


def _of_target(scene: Scene, target: ObjectKey, path: Sequence[Finding]) -> tuple[str, str]:
    obj = scene.view.get(target)
    if target.kind in _WORKLOADS:
        return _of_workload(scene, target, obj, path)
    match target.kind:
        case "Service":
            return "Affected", f"{target} is not served as it should be ({services.endpoints_text(scene.view, target)})"
        case "Namespace":
            return "Affected", f"in {target} {_named(_in_trouble(scene, target))}"
        case "Job" | "CronJob":
            return "NotCompleted", f"{'the latest run of ' * (target.kind == 'CronJob')}{target} has not succeeded"
        case "Ingress":
            backends = [str(edge.target) for edge in scene.topology.needs(target, Relation.BACKEND)]
            return "Affected", f"{target} leads to {', '.join(backends[:_MAX_NAMED]) or 'no Service'}"
        case "HorizontalPodAutoscaler":
            scaled = [str(edge.target) for edge in scene.topology.needs(target, Relation.SCALES)]
            return "Affected", f"{target} scales {', '.join(scaled) or 'nothing'}, which is in trouble"
        case "Node":
            return "Affected", f"pods that wait for a place on {target}: {len(_waiting(scene))}"
        case "PersistentVolumeClaim":
            return "Affected", f"{target} is in phase {text(obj, 'status', 'phase') or 'unknown'}"
        case "Pod":
            return "Affected", f"{target} is in phase {text(obj, 'status', 'phase') or 'unknown'}"
        case _:
            victims = _in_trouble(scene, target)
            return "Affected", f"{target} is used where {_named(victims)}"


def _of_workload(scene: Scene, target: ObjectKey, obj: Object, path: Sequence[Finding]) -> tuple[str, str]:
    ready, desired = counts(scene, target, obj)
    if ready < desired:
        return "Unavailable", f"{ready} of {desired} pods are ready"
    pods = set(scene.view.pods_of(target))
    hard = {trouble.pod for trouble in scene.troubles if trouble.hard}
    old = [pod for pod in pods if services.is_ready(scene.view.get(pod)) and is_superseded(scene.view, pod)]
    if old and hard & pods:
        return "RolloutStuck", f"a new pod does not come up; {_count(len(old), 'old pod')} still serve{_s(len(old))}"
    if hard & pods:
        bad = len(hard & pods)
        return "Degraded", f"{bad} of {_count(len(pods), 'pod')} {'is' if bad == 1 else 'are'} in trouble"
    if (path and path[0].object in pods) or any(item.pod in pods for item in scene.grievances):
        return "Affected", f"{_count(ready, 'pod')} of {target} run{_s(ready)}, but not without errors"
    if desired == 0:
        return "NoPods", f"{target} runs no pods"
    return (
        "Affected",
        f"{_count(ready, 'pod')} of {target} {'is' if ready == 1 else 'are'} ready; the fault lies elsewhere",
    )


def _count(number_of: int, noun: str) -> str:
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"


def _s(number_of: int) -> str:
    """The ending of a verb."""
    return "s" if number_of == 1 else ""


def _in_trouble(scene: Scene, target: ObjectKey) -> list[ObjectKey]:
    """The workloads whose pods are in trouble, or say that they cannot reach somebody who is out of order."""
    pods = {trouble.pod for trouble in scene.troubles if trouble.hard}
    pods |= {item.pod for item in scene.grievances if services.is_suspicious(scene.view, item.service)}
    inside = [pod for pod in pods if target.kind != "Namespace" or pod.namespace == target.name]
    return sorted({scene.view.workload_of(pod) for pod in inside})


def _named(workloads: Sequence[ObjectKey]) -> str:
    if not workloads:
        return "something is not as it should be"
    names = [f"{key.kind} {key.name}" for key in workloads[:_MAX_NAMED]]
    if len(workloads) > _MAX_NAMED:
        names.append(f"{len(workloads) - _MAX_NAMED} more")
    told = " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), names[-1]])
    return f"{told} {'is' if len(workloads) == 1 else 'are'} not well"


def _waiting(scene: Scene) -> set[ObjectKey]:
    return {trouble.pod for trouble in scene.troubles if trouble.kind == "unschedulable"}
