"""The steps of gathering: each looks at what is known and names the reads that would tell more.

A step is a pure function of the `Situation`; it may name reads that were asked before (the planner drops
those). The order of `STEPS` is the order of worth, for when a bound is near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from kubeagent.diagnosis import selectors, services, workloads
from kubeagent.diagnosis.hints import complaints, is_ip
from kubeagent.diagnosis.neighbourhood import SWEEPS
from kubeagent.diagnosis.objects import Object, dig, mapping, number, objects, string_map, text, uid_of
from kubeagent.diagnosis.topology import Topology, service_with_ip
from kubeagent.diagnosis.view import View
from kubeagent.protocol.kinds import by_kind
from kubeagent.protocol.reads import Get, List, Log, Read
from kubeagent.resources.refs import ObjectKey


@dataclass(frozen=True)
class Bounds:
    """How much may be read for one question."""

    hops: int = 7
    rounds: int = 14
    reads: int = 250
    objects: int = 4000
    bytes: int = 8 * 1024 * 1024
    listed: int = 500
    nodes: int = 200
    logs: int = 24
    logs_per_owner: int = 3
    log_lines: int = 200
    log_bytes: int = 64 * 1024


@dataclass(frozen=True)
class Situation:
    """What is known so far."""

    view: View
    topology: Topology
    reach: dict[ObjectKey, int]
    bounds: Bounds

    def listing(self, kind: str, namespace: str = "", labels: str = "", fields: str = "", limit: int = 0) -> List:
        """A bounded list of a kind of our table."""
        row = by_kind(kind)
        assert row is not None, kind
        return List(row.api_version, kind, namespace, labels, fields, limit or self.bounds.listed)

    def reached(self, *kinds: str) -> Iterator[tuple[ObjectKey, Object]]:
        """The objects of these kinds in the neighbourhood that were read, nearest first."""
        for key in self.reach:
            obj = self.view.get(key) if key.kind in kinds else {}
            if obj:
                yield key, obj


_NOT_ASKED: Final = ("Secret", "Event")
_ROOT_CA: Final = "kube-root-ca.crt"
_MAX_NODES: Final = 20

Step = Callable[[Situation], Iterator[Read]]


def the_target(situation: Situation) -> Iterator[Read]:
    """The target itself; if it does not exist, those that are called alike."""
    target = situation.view.target
    if target.kind == "Cluster" or (not target.name and target.kind != "Namespace"):
        return
    key = ObjectKey("v1", "Namespace", "", target.name) if target.kind == "Namespace" else target
    yield Get(key)
    if target in situation.view.evidence.absent:
        yield List(target.api_version, target.kind, target.namespace, limit=situation.bounds.listed)


def its_surroundings(situation: Situation) -> Iterator[Read]:
    """What can act on the target from its own namespace without being named by it; asked at once, to save a
    round.
    """
    target = situation.view.target
    if target.namespace:
        yield situation.listing("Event", target.namespace)
    if target.kind in (*workloads.RUNNERS, "Pod", "Service", "Ingress"):
        for kind in ("Service", "ResourceQuota", "LimitRange", "HorizontalPodAutoscaler", "Ingress"):
            yield situation.listing(kind, target.namespace)
    if target.kind in ("Node", "Cluster"):
        yield situation.listing("Node", limit=situation.bounds.nodes)
        yield situation.listing("Pod", fields="status.phase=Pending")


def sweeps(situation: Situation) -> Iterator[Read]:
    """For a Namespace (or the cluster) as target: its workloads, pods and events."""
    target = situation.view.target
    if target.kind not in SWEEPS:
        return
    namespace = target.name if target.kind == "Namespace" else ""
    kinds = (
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "ReplicaSet",
        "Pod",
        "Service",
        "Event",
    )
    for kind in (
        *kinds,
        "PersistentVolumeClaim",
        "HorizontalPodAutoscaler",
        "ResourceQuota",
        "EndpointSlice",
        "Ingress",
    ):
        yield situation.listing(kind, namespace)


def references(situation: Situation) -> Iterator[Read]:
    """Owners and everything that is referred to by name; of many nodes, only some."""
    seen_nodes = 0
    for key in situation.reach:
        if not key.name or key.kind in _NOT_ASKED or key.name == _ROOT_CA or situation.view.get(key):
            continue
        seen_nodes += key.kind == "Node"
        if by_kind(key.kind, key.api_version) and (key.kind != "Node" or seen_nodes <= _MAX_NODES):
            yield Get(key)


def children(situation: Situation) -> Iterator[Read]:
    """Pods, revisions and jobs of workloads."""
    for key, obj in situation.reached(*workloads.RUNNERS):
        labels = _pod_query(key, obj)
        if labels:
            yield situation.listing("Pod", key.namespace, labels)
        if labels and key.kind == "Deployment":
            yield situation.listing("ReplicaSet", key.namespace, labels)
        if labels and key.kind in ("StatefulSet", "DaemonSet"):
            yield situation.listing("ControllerRevision", key.namespace, labels)
        if key.kind == "CronJob":
            yield situation.listing("Job", key.namespace)


def _pod_query(key: ObjectKey, obj: Object) -> str:
    if key.kind == "ReplicationController":
        return selectors.plain_query(string_map(obj, "spec", "selector"))
    return selectors.query(mapping(obj, "spec", "selector")) if key.kind != "CronJob" else ""


def behind_services(situation: Situation) -> Iterator[Read]:
    """Endpoints and pods of Services; where there are none, the workloads that could be meant."""
    for key, obj in situation.reached("Service"):
        selector = services.selector_of(obj)
        if not selector:
            continue
        label = f"kubernetes.io/service-name={key.name}"
        yield situation.listing("EndpointSlice", key.namespace, label)
        yield situation.listing("Pod", key.namespace, selectors.plain_query(selector))
        empty = services.has_no_endpoints(situation.view, key)
        if empty or (situation.reach[key] < 3 and _is_worth_asking(situation.view, key)):
            for kind in services.BACKENDS:
                yield situation.listing(kind, key.namespace)
        if empty:  # revisions that once had these labels
            for kind in ("ReplicaSet", "ControllerRevision"):
                yield situation.listing(kind, key.namespace, selectors.plain_query(selector))


def _is_worth_asking(view: View, service: ObjectKey) -> bool:
    return services.is_suspicious(view, service) or services.is_edited(view, service)


def consumers(situation: Situation) -> Iterator[Read]:
    """Who uses the target, if it is something that is used: a ConfigMap, a claim, an account."""
    target = situation.view.target
    if target.kind in ("ConfigMap", "PersistentVolumeClaim", "ServiceAccount"):
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Pod"):
            yield situation.listing(kind, target.namespace)


def nodes(situation: Situation) -> Iterator[Read]:
    """All nodes (bounded) if a pod finds none; else only those that pods run on, which are references."""
    for _, pod in situation.reached("Pod"):
        if not text(pod, "spec", "nodeName") and _is_unscheduled(pod):
            yield situation.listing("Node", limit=situation.bounds.nodes)
    for _, workload in situation.reached("DaemonSet"):
        if not number(workload, "status", "desiredNumberScheduled"):
            yield situation.listing("Node", limit=situation.bounds.nodes)
    for key, node in situation.reached("Node"):
        if any(text(item, "type") == "Ready" and text(item, "status") != "True" for item in _conditions(node)):
            yield situation.listing(
                "Event", "default", fields=f"involvedObject.kind=Node,involvedObject.name={key.name}"
            )


def _is_unscheduled(pod: Object) -> bool:
    scheduled = [item for item in _conditions(pod) if text(item, "type") == "PodScheduled"]
    return not scheduled or text(scheduled[0], "status") != "True"


def _conditions(obj: Object) -> list[Object]:
    return objects(obj, "status", "conditions")


def storage(situation: Situation) -> Iterator[Read]:
    """All storage classes if a claim is not bound: a default one may be missing, or a name be near."""
    for key, claim in situation.reached("PersistentVolumeClaim"):
        if text(claim, "status", "phase") != "Bound":
            yield situation.listing("StorageClass")
            yield situation.listing("Event", key.namespace)
    for key, workload in situation.reached("StatefulSet"):
        if objects(workload, "spec", "volumeClaimTemplates"):
            yield situation.listing("PersistentVolumeClaim", key.namespace, _pod_query(key, workload))


def admission(situation: Situation) -> Iterator[Read]:
    """Quotas, limits and labels of a namespace in which pods may not be made."""
    for key, _ in situation.reached(*workloads.SCALED, "DaemonSet", "Job"):
        if situation.view.events(key, "FailedCreate"):
            yield situation.listing("ResourceQuota", key.namespace)
            yield situation.listing("LimitRange", key.namespace)
            yield Get(ObjectKey("v1", "Namespace", "", key.namespace))


def events(situation: Situation) -> Iterator[Read]:
    """One list per namespace that is touched; where it was cut, one for each object in trouble."""
    view = situation.view
    emitting = (*workloads.RUNNERS, "Pod", "PersistentVolumeClaim")
    for key, obj in situation.reached(*emitting):
        yield situation.listing("Event", key.namespace)
        cut = any(
            item.kind == "Event" and not item.complete and item.namespace == key.namespace
            for item in view.evidence.listings
        )
        if cut and uid_of(obj) and (key.kind != "Pod" or not services.is_ready(obj)):
            yield situation.listing("Event", key.namespace, fields=f"involvedObject.uid={uid_of(obj)}")


def logs(situation: Situation) -> Iterator[Read]:
    """Logs of what restarts or is not ready, and of some ready pods of the target and of its clients."""
    per_owner: Counter[ObjectKey] = Counter()
    asked = 0
    pods = sorted(situation.reached("Pod"), key=lambda item: (situation.reach[item[0]], services.is_ready(item[1])))
    for key, pod in pods:
        owner = situation.view.owner(key) or key
        wanted = tuple(_container_logs(situation, key, pod))
        if wanted and per_owner[owner] < situation.bounds.logs_per_owner:
            per_owner[owner] += 1
            for read in wanted[: max(0, situation.bounds.logs - asked)]:
                asked += 1
                yield read


def _container_logs(situation: Situation, key: ObjectKey, pod: Object) -> Iterator[Log]:
    listens = _is_worth_hearing(situation, key)
    for status in workloads.container_statuses(pod):
        restarted = number(status, "restartCount") > 0 or bool(dig(status, "lastState", "terminated"))
        running = bool(mapping(status, "state", "running"))
        failed = number(status, "state", "terminated", "exitCode") != 0
        if not (restarted or running or failed):
            continue
        if running and restarted:
            yield _log(situation, key, text(status, "name"), previous=True)
        if failed or restarted or listens or dig(status, "ready") is not True:
            yield _log(situation, key, text(status, "name"), previous=False)


def _is_worth_hearing(situation: Situation, pod: ObjectKey) -> bool:
    """Whether even a ready pod may have said something about others: one of the target, or a client of its
    Service.
    """
    near = situation.reach[pod] <= 2 and situation.view.target.kind not in (
        "Node",
        "ConfigMap",
        "PersistentVolumeClaim",
    )
    own = {pod, *situation.view.owners(pod)}
    return near or any(edge.relation == "uses" for key in own for edge in situation.topology.needs(key))


def _log(situation: Situation, pod: ObjectKey, container: str, previous: bool) -> Log:
    bounds = situation.bounds
    return Log(pod.namespace, pod.name, container, previous, bounds.log_lines, bounds.log_bytes)


def cluster_ips(situation: Situation) -> Iterator[Read]:
    """The Service of an IP address that a log complains about."""
    view = situation.view
    for log in view.evidence.logs:
        for complaint in complaints(log.text):
            for address in complaint.addresses:
                known = any(pod for pod in view.kind("Pod") if text(view.get(pod), "status", "podIP") == address.host)
                if is_ip(address.host) and not known and not service_with_ip(view, address.host):
                    yield situation.listing("Service", log.namespace)
                    yield situation.listing("Service", fields=f"spec.clusterIP={address.host}")


STEPS: Final[tuple[Step, ...]] = (
    the_target,
    its_surroundings,
    sweeps,
    references,
    children,
    behind_services,
    consumers,
    nodes,
    storage,
    admission,
    events,
    logs,
    cluster_ips,
)
