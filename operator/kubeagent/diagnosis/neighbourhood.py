"""How far the question reaches: the objects that matter for a target, with their distance from it in hops.

Edges are followed where a cause may lie: to owners and children, along references, from a Service to what is
behind it. They are not followed from what many share (a Node, a StorageClass, a ConfigMap) to its other
users, unless that is what was asked about. So the neighbourhood stays small in a large cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from kubeagent.diagnosis import services, workloads
from kubeagent.diagnosis.topology import Relation, Topology
from kubeagent.diagnosis.view import View
from kubeagent.resources.refs import ObjectKey

SWEEPS = ("Namespace", "Cluster")
MAX_CLIENTS = 5
_OWN_HOPS = 3
"""Within so many hops we are still at the target itself: its pods, its Services."""


def reach(view: View, topology: Topology, hops: int) -> dict[ObjectKey, int]:
    """Every object of the neighbourhood and its distance, nearest first."""
    start = list(_starts(view))
    distance = dict.fromkeys(start, 0)
    queue = deque(start)
    while queue:
        key = queue.popleft()
        if distance[key] >= hops:
            continue
        for other in _next(view, topology, key, distance[key]):
            if other not in distance:
                distance[other] = distance[key] + 1
                queue.append(other)
    return distance


def _starts(view: View) -> Iterator[ObjectKey]:
    yield view.target
    if view.target.kind == "Namespace":
        yield from (key for key in view.objects if key.namespace == view.target.name and _is_subject(key))
    elif view.target.kind == "Cluster":
        yield from (key for key in view.objects if _is_subject(key))


def _is_subject(key: ObjectKey) -> bool:
    return key.kind in (
        *workloads.RUNNERS,
        "Pod",
        "Service",
        "PersistentVolumeClaim",
        "HorizontalPodAutoscaler",
        "Node",
    )


def _next(view: View, topology: Topology, key: ObjectKey, distance: int) -> Iterator[ObjectKey]:
    for edge in topology.needs(key):
        if edge.relation is not Relation.USES or distance < _OWN_HOPS:
            yield edge.target
    yield from view.children(key)
    if key == view.target or (distance < _OWN_HOPS and key.kind in (*workloads.RUNNERS, "Pod")):
        wanted = (Relation.SELECTS, Relation.SCALES, Relation.BACKEND)
        relations = () if key == view.target and key.kind not in ("Node", "Namespace") else wanted
        yield from (edge.source for edge in topology.users(key, *relations) if edge.relation is not Relation.USES)
    if key.kind in services.BACKENDS and distance < _OWN_HOPS:
        yield from services_meant_for(view, key)
    if key.kind == "Service":
        yield from (item.workload for item in services.intended_for(view, key)[:2])
        if distance < _OWN_HOPS and (services.is_suspicious(view, key) or services.is_edited(view, key)):
            yield from clients(topology, key)


def services_meant_for(view: View, workload: ObjectKey) -> Iterator[ObjectKey]:
    """Services that select nothing, or others since they were edited, and were meant for this workload."""
    for service in view.kind("Service", workload.namespace):
        meant = [item.workload for item in services.intended_for(view, service)[:1]]
        if workload in (*meant, services.formerly(view, service)):
            yield service


def clients(topology: Topology, service: ObjectKey) -> tuple[ObjectKey, ...]:
    """Some of those that name a Service in their env or args, or complain about it."""
    found = [edge.source for edge in topology.users(service, Relation.USES, Relation.COMPLAINS)]
    found.sort(key=lambda key: (key.kind == "ReplicaSet", key))
    return tuple(dict.fromkeys(found))[:MAX_CLIENTS]
