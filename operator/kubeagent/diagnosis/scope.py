"""What belongs to the target: a finding matters only if it accounts for something in here.

A Deployment stands for its pods, and for the Services that lead to them; a Service for what is behind it; a
ConfigMap only for itself. What merely lies near (another workload on the same node) is read, and not
reported.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubeagent.diagnosis import services
from kubeagent.diagnosis.neighbourhood import services_meant_for
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.topology import Relation
from kubeagent.diagnosis.workloads import RUNNERS
from kubeagent.resources.refs import ObjectKey


def scope(scene: Scene) -> frozenset[ObjectKey]:
    """The objects that the target stands for."""
    target = _as_read(scene, scene.view.target)
    match target.kind:
        case "Namespace":
            return frozenset({target, *(key for key in scene.view.objects if key.namespace == target.name)})
        case "Cluster":
            return frozenset({target, *scene.view.objects})
        case "Pod":
            return frozenset({target, *_workload(scene, scene.view.workload_of(target))})
        case "Service":
            return frozenset(_service(scene, target))
        case "Ingress":
            backends = [edge.target for edge in scene.topology.needs(target, Relation.BACKEND, Relation.SECRET)]
            return frozenset({target, *backends, *(key for item in backends for key in _service(scene, item))})
        case "HorizontalPodAutoscaler":
            scaled = [edge.target for edge in scene.topology.needs(target, Relation.SCALES)]
            return frozenset({target, *(key for item in scaled for key in _workload(scene, item))})
        case kind if kind in RUNNERS:
            return frozenset(_workload(scene, target))
        case _:
            return frozenset({target, *_own_pods(scene, target)})


def _as_read(scene: Scene, target: ObjectKey) -> ObjectKey:
    """The target with the apiVersion under which it was read."""
    same = (key for key in scene.view.kind(target.kind, target.namespace) if key.name == target.name)
    return next(same, target)


def _own_pods(scene: Scene, target: ObjectKey) -> tuple[ObjectKey, ...]:
    return scene.view.pods_of(target)


def _workload(scene: Scene, key: ObjectKey) -> Iterator[ObjectKey]:
    """The workload, what it owns, what its pods claim, and the Services and autoscalers that are for it."""
    pods = scene.view.pods_of(key)
    yield key
    yield from pods
    yield from _descendants(scene, key)
    for pod in pods:
        yield from (edge.target for edge in scene.topology.needs(pod, Relation.CLAIM))
    for user in (key, *pods):
        yield from (edge.source for edge in scene.topology.users(user, Relation.SELECTS, Relation.SCALES))
    if key.kind in services.BACKENDS:
        yield from services_meant_for(scene.view, key)


def _descendants(scene: Scene, key: ObjectKey, depth: int = 0) -> Iterator[ObjectKey]:
    for owned in scene.view.children(key) if depth < 4 else ():
        yield owned
        yield from _descendants(scene, owned, depth + 1)


def _service(scene: Scene, key: ObjectKey) -> Iterator[ObjectKey]:
    """The Service, and the workloads and pods behind it."""
    yield key
    for edge in scene.topology.needs(key, Relation.SELECTS):
        yield edge.target
        if edge.target.kind in RUNNERS:
            yield from scene.view.pods_of(edge.target)
            yield from _descendants(scene, edge.target)
