"""Builders of Kubernetes objects as an API server gives them, and a small cluster that answers the planner's
reads.

Objects are changed by `|` and `put`, so that a test shows only what is special about it. `diagnose` runs the
way of the edge: gather from the cluster, encode, decode, judge.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from kubeagent.diagnosis import Bounds, Gathering, judge
from kubeagent.diagnosis.facts import LAST_APPLIED
from kubeagent.protocol.evidence import Evidence, decode, encode
from kubeagent.protocol.reads import Get, List, Log, Read
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import RootCause, Verdict

Object = dict[str, Any]
NOW = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)
NS = "shop"
API = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ControllerRevision": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}
CLUSTER_SCOPED = ("Node", "StorageClass", "PersistentVolume", "Namespace", "PriorityClass")


def at(seconds_ago: float) -> str:
    """A timestamp before NOW."""
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def key(kind: str, name: str, namespace: str = NS) -> ObjectKey:
    return ObjectKey(API.get(kind, "v1"), kind, "" if kind in CLUSTER_SCOPED else namespace, name)


def obj(
    kind: str,
    name: str,
    *,
    namespace: str = NS,
    age: float = 3600,
    labels: Mapping[str, str] | None = None,
    **rest: Any,
) -> Object:
    metadata: Object = {"name": name, "uid": f"uid-{kind}-{name}".lower(), "creationTimestamp": at(age)}
    if kind not in CLUSTER_SCOPED:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": API.get(kind, "v1"), "kind": kind, "metadata": metadata, **rest}


def put(value: Object, path: str, new: Any) -> Object:
    """A copy with the dotted path set; a number is an index."""
    done = copy.deepcopy(value)
    place: Any = done
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if isinstance(place, list):
        place[int(last)] = new
    else:
        place[last] = new
    return done


def owned(child: Object, owner: Object) -> Object:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return put(child, "metadata.ownerReferences", [reference])


def written(value: Object, manager: str, ago: float, *paths: Iterable[str], operation: str = "Update") -> Object:
    """The object with a managedFields entry for these paths, each a sequence of field names."""
    fields: Object = {}
    for path in paths:
        place = fields
        for step in path:
            place = place.setdefault(step if ":" in step else f"f:{step}", {})
    entry = {
        "manager": manager,
        "operation": operation,
        "time": at(ago),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    done = copy.deepcopy(value)
    done["metadata"].setdefault("managedFields", []).append(entry)
    return done


def applied(value: Object, was: Object | None = None) -> Object:
    """The object with the last-applied annotation of what it was."""
    done = copy.deepcopy(value)
    done["metadata"].setdefault("annotations", {})[LAST_APPLIED] = json.dumps(was if was is not None else value)
    return done


def container(name: str = "web", image: str = "registry.test/web:1.0", **rest: Any) -> Object:
    return {"name": name, "image": image, "ports": [{"containerPort": 8080, "name": "http"}], **rest}


def pod_spec(*containers: Object, **rest: Any) -> Object:
    return {
        "containers": list(containers) or [container()],
        "restartPolicy": "Always",
        "serviceAccountName": "default",
        **rest,
    }


def running(
    name: str = "web",
    *,
    ready: bool = True,
    restarts: int = 0,
    since: float = 3000,
    last: Object | None = None,
) -> Object:
    status: Object = {
        "name": name,
        "ready": ready,
        "started": True,
        "restartCount": restarts,
        "state": {"running": {"startedAt": at(since)}},
    }
    return status | ({"lastState": {"terminated": last}} if last else {})


def waiting(
    reason: str, message: str = "", *, name: str = "web", restarts: int = 0, last: Object | None = None
) -> Object:
    state: Object = {"reason": reason} | ({"message": message} if message else {})
    status: Object = {
        "name": name,
        "ready": False,
        "started": False,
        "restartCount": restarts,
        "state": {"waiting": state},
    }
    return status | ({"lastState": {"terminated": last}} if last else {})


def ended(exit_code: int = 1, reason: str = "Error", ago: float = 10, ran: float = 1, **rest: Any) -> Object:
    return {
        "exitCode": exit_code,
        "reason": reason,
        "startedAt": at(ago + ran),
        "finishedAt": at(ago),
        **rest,
    }


def crashing(exit_code: int = 1, reason: str = "Error", *, name: str = "web", restarts: int = 3) -> Object:
    message = f"back-off 40s restarting failed container={name}"
    return waiting("CrashLoopBackOff", message, name=name, restarts=restarts, last=ended(exit_code, reason))


def pod(
    name: str,
    owner: Object | None,
    spec: Object,
    *statuses: Object,
    labels: Mapping[str, str] | None = None,
    age: float = 3000,
    node: str | None = "node-1",
    phase: str = "Running",
    **rest: Any,
) -> Object:
    given = list(statuses) or [running(item["name"]) for item in spec["containers"]]
    ready = bool(given) and all(item.get("ready") for item in given) and node is not None
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    if node:
        conditions.append({"type": "PodScheduled", "status": "True"})
    status = {
        "phase": phase,
        "conditions": conditions,
        "startTime": at(age),
        "podIP": "10.0.0.7",
        "containerStatuses": given,
    }
    made = obj(
        "Pod",
        name,
        age=age,
        labels=labels,
        spec=spec | ({"nodeName": node} if node else {}),
        status=status,
        **rest,
    )
    return owned(made, owner) if owner else made


def unscheduled(name: str, owner: Object, spec: Object, message: str, labels: Mapping[str, str]) -> Object:
    made = pod(name, owner, spec, labels=labels, node=None, phase="Pending", age=20)
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": at(20),
    }
    return put(put(made, "status.containerStatuses", []), "status.conditions", [condition])


def event(
    about: Object,
    reason: str,
    message: str,
    *,
    ago: float = 5,
    count: int = 1,
    kind: str = "Warning",
    part: str = "",
) -> Object:
    involved = {
        "apiVersion": about["apiVersion"],
        "kind": about["kind"],
        "namespace": about["metadata"].get("namespace", ""),
        "name": about["metadata"]["name"],
        "uid": about["metadata"]["uid"],
    } | ({"fieldPath": f"spec.containers{{{part}}}"} if part else {})
    name = f"{about['metadata']['name']}.{crc32((reason + message).encode()):x}"
    return obj(
        "Event",
        name,
        namespace=about["metadata"].get("namespace", "default"),
        involvedObject=involved,
        reason=reason,
        message=message,
        type=kind,
        count=count,
        lastTimestamp=at(ago),
    )


class App:
    """A Deployment with its ReplicaSets and pods, healthy until a test changes something."""

    def __init__(
        self,
        name: str = "checkout",
        spec: Object | None = None,
        *,
        replicas: int = 2,
        was: Object | None = None,
    ) -> None:
        self.name, self.replicas = name, replicas
        self.labels = {"app": name}
        self.spec = spec or pod_spec()
        template = {"metadata": {"labels": self.labels}, "spec": self.spec}
        selector = {"matchLabels": self.labels}
        self.deployment = obj(
            "Deployment",
            name,
            spec={"replicas": replicas, "selector": selector, "template": template},
            status={
                "observedGeneration": 3,
                "replicas": replicas,
                "updatedReplicas": replicas,
                "readyReplicas": replicas,
                "availableReplicas": replicas,
                "conditions": [
                    {"type": "Available", "status": "True"},
                    {"type": "Progressing", "status": "True"},
                ],
            },
        )
        self.deployment["metadata"]["generation"] = 3
        self.old = self._replica_set("aaa", was, 1, 3600) if was else None
        self.new = self._replica_set("bbb", self.spec, 2 if was else 1, 60 if was else 3600)

    def _replica_set(self, suffix: str, spec: Object, revision: int, age: float) -> Object:
        labels = self.labels | {"pod-template-hash": suffix}
        template = {"metadata": {"labels": labels}, "spec": spec}
        made = obj(
            "ReplicaSet",
            f"{self.name}-{suffix}",
            age=age,
            labels=labels,
            spec={"replicas": self.replicas, "template": template, "selector": {"matchLabels": labels}},
            status={"replicas": self.replicas},
        )
        made["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(revision)}
        return owned(made, self.deployment)

    def pod(self, *statuses: Object, index: int = 1, old: bool = False, **rest: Any) -> Object:
        owner = self.old if old and self.old else self.new
        spec = owner["spec"]["template"]["spec"]
        labels = self.labels | {"pod-template-hash": owner["metadata"]["labels"]["pod-template-hash"]}
        return pod(f"{owner['metadata']['name']}-{index}", owner, spec, *statuses, labels=labels, **rest)

    def pending(self, message: str) -> Object:
        return unscheduled(f"{self.new['metadata']['name']}-1", self.new, self.spec, message, self.labels)

    def healthy(self) -> list[Object]:
        return [*self.controllers(), *(self.pod(index=index) for index in range(1, self.replicas + 1))]

    def controllers(self) -> list[Object]:
        return [self.deployment, *([self.old] if self.old else []), self.new]

    def broken(self, *pods: Object) -> list[Object]:
        """The controllers, with the status of a Deployment that is not available, and these pods."""
        deployment = put(self.deployment, "status.readyReplicas", 0)
        deployment = put(deployment, "status.conditions", [{"type": "Available", "status": "False"}])
        return [deployment, *([self.old] if self.old else []), self.new, *pods]


def service(name: str, selector: Mapping[str, str], *, port: int = 80, target: int | str = 8080, **rest: Any) -> Object:
    spec = {
        "selector": dict(selector),
        "clusterIP": "10.96.3.4",
        "ports": [{"name": "http", "port": port, "targetPort": target}],
    }
    return obj("Service", name, spec=spec, **rest)


def endpoints(of: Object, ready: int) -> Object:
    name = of["metadata"]["name"]
    made = obj("EndpointSlice", f"{name}-x1", labels={"kubernetes.io/service-name": name}, addressType="IPv4")
    return made | {
        "endpoints": [{"addresses": [f"10.0.0.{index}"], "conditions": {"ready": True}} for index in range(ready)]
    }


def node(name: str = "node-1", *, labels: Mapping[str, str] | None = None, ready: str = "True", **spec: Any) -> Object:
    conditions = [
        {
            "type": "Ready",
            "status": ready,
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
    ]
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    return obj(
        "Node",
        name,
        labels={"kubernetes.io/hostname": name, **(labels or {})},
        spec=spec,
        status={"conditions": conditions, "allocatable": allocatable},
    )


class Cluster:
    """Answers typed reads from a list of objects."""

    def __init__(self, *objects: Object | list[Object], logs: Mapping[tuple[str, str], str] | None = None) -> None:
        flat = [item for part in objects for item in (part if isinstance(part, list) else [part])]
        self.objects = [*flat, *self._basics(flat)]
        self.logs = dict(logs or {})
        self.reads: list[Read] = []
        self.rounds = 0

    @staticmethod
    def _basics(flat: list[Object]) -> list[Object]:
        basics = [obj("ServiceAccount", "default")]
        if not any(item["kind"] == "Namespace" for item in flat):
            basics.append(obj("Namespace", "shop"))
        return basics + ([] if any(item["kind"] == "Node" for item in flat) else [node()])

    def answer(self, gathering: Gathering, read: Read) -> None:
        self.reads.append(read)
        match read:
            case Get(key=wanted):
                found = [item for item in self.objects if _key(item) == wanted]
                gathering.found(read, copy.deepcopy(found[0])) if found else gathering.missing(read)
            case List():
                items = [copy.deepcopy(item) for item in self.objects if _listed(read, item)]
                gathering.found(read, items[: read.limit], len(items) <= read.limit)
            case Log(pod=name, container=part, previous=previous):
                text = self.logs.get((name, part + (" previous" if previous else "")))
                gathering.found(read, text) if text else gathering.missing(read)

    def evidence(
        self, target: ObjectKey, *, namespaces: frozenset[str] | None = None, bounds: Bounds | None = None
    ) -> Evidence:
        gathering = Gathering(target, namespaces=namespaces, bounds=bounds)
        while reads := gathering.wanted():
            self.rounds += 1
            for read in reads:
                self.answer(gathering, read)
        return decode(encode(gathering.evidence(NOW)))

    def diagnose(self, target: ObjectKey, **options: Any) -> Verdict:
        return judge(self.evidence(target, **options))


def _key(value: Object) -> ObjectKey:
    return ObjectKey(
        value["apiVersion"], value["kind"], value["metadata"].get("namespace", ""), value["metadata"]["name"]
    )


def _listed(read: List, item: Object) -> bool:
    namespace = item["metadata"].get("namespace", "")
    if item["kind"] != read.kind or (read.namespace and namespace != read.namespace):
        return False
    labels = item["metadata"].get("labels", {})
    wanted = [term.partition("=") for term in read.label_selector.split(",") if term]
    fields = [term.partition("=") for term in read.field_selector.split(",") if term]
    return all(labels.get(name) == value for name, _, value in wanted) and all(
        _field(item, name) == value for name, _, value in fields
    )


def _field(item: Object, path: str) -> str:
    value: Any = item
    for step in path.split("."):
        value = value.get(step, "") if isinstance(value, dict) else ""
    return str(value)


def told(cause: RootCause) -> tuple[str, str, str]:
    """What a test compares: reason, object, field."""
    return cause.reason, f"{cause.object.kind}/{cause.object.name}", cause.object.field_path or ""
