"""Typed edges between objects, from real references; each quotes the field that makes it.

The graph serves twice: gathering follows it outward to know what to read next, and causes follow it backward
to know what a broken object breaks. An edge may lead to an object that was not read or does not exist; that
is the point.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from kubeagent.diagnosis import workloads
from kubeagent.diagnosis.hints import Address, addresses, complaints, is_ip, service_of
from kubeagent.diagnosis.objects import Object, mapping, objects, string_map, strings, text
from kubeagent.diagnosis.view import View
from kubeagent.resources.refs import ObjectKey


class Relation(StrEnum):
    """What makes the edge. The source needs, owns, selects, or talks to the target."""

    OWNER = "owner"
    SELECTS = "selects"
    CONFIG = "config"
    SECRET = "secret"
    CLAIM = "claim"
    VOLUME = "volume"
    STORAGE_CLASS = "storageClass"
    NODE = "node"
    ACCOUNT = "serviceAccount"
    PRIORITY = "priorityClass"
    RUNTIME = "runtimeClass"
    BACKEND = "backend"
    SCALES = "scales"
    USES = "uses"
    COMPLAINS = "complains"


class Edge(NamedTuple):
    """`source` refers to `target` by the field at `path`."""

    source: ObjectKey
    relation: Relation
    target: ObjectKey
    path: str


class Topology:
    """The edges, indexed from both ends."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self.edges = tuple(dict.fromkeys(edges))

    @cached_property
    def _outward(self) -> Mapping[ObjectKey, tuple[Edge, ...]]:
        return _indexed((edge.source, edge) for edge in self.edges)

    @cached_property
    def _inward(self) -> Mapping[ObjectKey, tuple[Edge, ...]]:
        return _indexed((edge.target, edge) for edge in self.edges)

    def needs(self, key: ObjectKey, *relations: Relation) -> tuple[Edge, ...]:
        """The edges that start at `key`."""
        return tuple(edge for edge in self._outward.get(key, ()) if not relations or edge.relation in relations)

    def users(self, key: ObjectKey, *relations: Relation) -> tuple[Edge, ...]:
        """The edges that end at `key`."""
        return tuple(edge for edge in self._inward.get(key, ()) if not relations or edge.relation in relations)


def topology(view: View) -> Topology:
    """All edges that the evidence shows."""
    return Topology(edge for key, obj in view.objects.items() for edge in _edges(view, key, obj))


def _edges(view: View, key: ObjectKey, obj: Object) -> Iterator[Edge]:
    owner = view.owner(key)
    if owner:
        yield Edge(key, Relation.OWNER, owner, "metadata.ownerReferences")
    if key.kind == "Pod" or key.kind in workloads.RUNNERS:
        yield from pod_edges(key, workloads.pod_spec(obj), workloads.template_path(key.kind))
        yield from uses(view, key, workloads.pod_spec(obj))
    by_kind = {
        "Pod": _complaints,
        "Service": _selections,
        "Ingress": _backends,
        "PersistentVolumeClaim": _claim_edges,
        "PersistentVolume": _volume_edges,
        "HorizontalPodAutoscaler": _scale_target,
        "StatefulSet": _stateful_set_edges,
    }.get(key.kind)
    if by_kind:
        yield from by_kind(view, key, obj)


def pod_edges(key: ObjectKey, spec: Object, path: str) -> Iterator[Edge]:
    """What a pod spec refers to."""
    for name, kind, api_version, relation in (
        ("nodeName", "Node", "v1", Relation.NODE),
        ("priorityClassName", "PriorityClass", "scheduling.k8s.io/v1", Relation.PRIORITY),
        ("runtimeClassName", "RuntimeClass", "node.k8s.io/v1", Relation.RUNTIME),
    ):
        if text(spec, name):
            yield Edge(key, relation, ObjectKey(api_version, kind, "", text(spec, name)), f"{path}.{name}")
    account = text(spec, "serviceAccountName")
    if account:
        target = ObjectKey("v1", "ServiceAccount", key.namespace, account)
        yield Edge(key, Relation.ACCOUNT, target, f"{path}.serviceAccountName")
    for volume in objects(spec, "volumes"):
        yield from _volume_references(key, volume, f"{path}.volumes[name={text(volume, 'name')}]")
    for field in ("initContainers", "containers"):
        for container in objects(spec, field):
            yield from _env_references(key, container, f"{path}.{field}[name={text(container, 'name')}]")
    for secret in objects(spec, "imagePullSecrets"):
        yield from _reference(key, Relation.SECRET, "Secret", text(secret, "name"), f"{path}.imagePullSecrets")


def _volume_references(key: ObjectKey, volume: Object, path: str) -> Iterator[Edge]:
    sources = [volume, *objects(volume, "projected", "sources")]
    for source in sources:
        config, secret = mapping(source, "configMap"), mapping(source, "secret")
        yield from _reference(key, Relation.CONFIG, "ConfigMap", text(config, "name"), f"{path}.configMap")
        name = text(secret, "secretName") or text(secret, "name")
        yield from _reference(key, Relation.SECRET, "Secret", name, f"{path}.secret")
    claim = text(volume, "persistentVolumeClaim", "claimName")
    yield from _reference(key, Relation.CLAIM, "PersistentVolumeClaim", claim, f"{path}.persistentVolumeClaim")
    if key.kind == "Pod" and mapping(volume, "ephemeral"):
        name = f"{key.name}-{text(volume, 'name')}"
        yield from _reference(key, Relation.CLAIM, "PersistentVolumeClaim", name, f"{path}.ephemeral")


def _env_references(key: ObjectKey, container: Object, path: str) -> Iterator[Edge]:
    for source in objects(container, "envFrom"):
        config, secret = text(source, "configMapRef", "name"), text(source, "secretRef", "name")
        yield from _reference(key, Relation.CONFIG, "ConfigMap", config, f"{path}.envFrom")
        yield from _reference(key, Relation.SECRET, "Secret", secret, f"{path}.envFrom")
    for variable in objects(container, "env"):
        where = f"{path}.env[name={text(variable, 'name')}].valueFrom"
        config = text(variable, "valueFrom", "configMapKeyRef", "name")
        secret = text(variable, "valueFrom", "secretKeyRef", "name")
        yield from _reference(key, Relation.CONFIG, "ConfigMap", config, where)
        yield from _reference(key, Relation.SECRET, "Secret", secret, where)


def _reference(key: ObjectKey, relation: Relation, kind: str, name: str, path: str) -> Iterator[Edge]:
    if name:
        yield Edge(key, relation, ObjectKey("v1", kind, key.namespace, name), path)


def _selections(view: View, key: ObjectKey, _: Object) -> Iterator[Edge]:
    return (Edge(key, Relation.SELECTS, other, "spec.selector") for other in view.selected(key))


def _backends(_: View, key: ObjectKey, obj: Object) -> Iterator[Edge]:
    default = text(obj, "spec", "defaultBackend", "service", "name")
    yield from _reference(key, Relation.BACKEND, "Service", default, "spec.defaultBackend")
    for rule in objects(obj, "spec", "rules"):
        for path in objects(rule, "http", "paths"):
            name = text(path, "backend", "service", "name")
            yield from _reference(key, Relation.BACKEND, "Service", name, "spec.rules")
    for tls in objects(obj, "spec", "tls"):
        yield from _reference(key, Relation.SECRET, "Secret", text(tls, "secretName"), "spec.tls")


def _claim_edges(_: View, key: ObjectKey, obj: Object) -> Iterator[Edge]:
    if text(obj, "spec", "volumeName"):
        target = ObjectKey("v1", "PersistentVolume", "", text(obj, "spec", "volumeName"))
        yield Edge(key, Relation.VOLUME, target, "spec.volumeName")
    if text(obj, "spec", "storageClassName"):
        target = ObjectKey("storage.k8s.io/v1", "StorageClass", "", text(obj, "spec", "storageClassName"))
        yield Edge(key, Relation.STORAGE_CLASS, target, "spec.storageClassName")


def _volume_edges(_: View, key: ObjectKey, obj: Object) -> Iterator[Edge]:
    if text(obj, "spec", "storageClassName"):
        target = ObjectKey("storage.k8s.io/v1", "StorageClass", "", text(obj, "spec", "storageClassName"))
        yield Edge(key, Relation.STORAGE_CLASS, target, "spec.storageClassName")


def _scale_target(_: View, key: ObjectKey, obj: Object) -> Iterator[Edge]:
    reference = mapping(obj, "spec", "scaleTargetRef")
    if text(reference, "name"):
        target = ObjectKey(
            text(reference, "apiVersion"), text(reference, "kind"), key.namespace, text(reference, "name")
        )
        yield Edge(key, Relation.SCALES, target, "spec.scaleTargetRef")


def _stateful_set_edges(_: View, key: ObjectKey, obj: Object) -> Iterator[Edge]:
    yield from _reference(key, Relation.USES, "Service", text(obj, "spec", "serviceName"), "spec.serviceName")
    for claim in objects(obj, "spec", "volumeClaimTemplates"):
        name = text(claim, "spec", "storageClassName")
        if name:
            path = f"spec.volumeClaimTemplates[name={text(claim, 'metadata', 'name')}].spec.storageClassName"
            yield Edge(key, Relation.STORAGE_CLASS, ObjectKey("storage.k8s.io/v1", "StorageClass", "", name), path)


# Learned edges


def uses(view: View, key: ObjectKey, spec: Object) -> Iterator[Edge]:
    """Services that env values and args name; a bare word counts only if a Service has that very name."""
    for path, value in settings(view, key, spec):
        yield from _named(view, key, value, path)


def settings(view: View, key: ObjectKey, spec: Object) -> Iterator[tuple[str, str]]:
    """What env (also through ConfigMaps), command, args and probes tell the containers, and where in the pod
    spec.
    """
    for container in workloads.containers(spec):
        path = f"containers[name={text(container, 'name')}]"
        for variable in objects(container, "env"):
            reference = mapping(variable, "valueFrom", "configMapKeyRef")
            kept = _config(view, key, text(reference, "name")).get(text(reference, "key"), "")
            yield f"{path}.env[name={text(variable, 'name')}]", text(variable, "value") or kept
        for source in objects(container, "envFrom"):
            for value in _config(view, key, text(source, "configMapRef", "name")).values():
                yield f"{path}.envFrom", value
        for field in ("command", "args"):
            for argument in strings(container, field):
                yield f"{path}.{field}", argument
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            for argument in strings(container, probe, "exec", "command"):
                yield f"{path}.{probe}.exec.command", argument


def _config(view: View, key: ObjectKey, name: str) -> dict[str, str]:
    return string_map(view.find("ConfigMap", key.namespace, name), "data") if name else {}


def _named(view: View, key: ObjectKey, value: str, path: str) -> Iterator[Edge]:
    candidates = list(addresses(value[:2000]))
    word = value.strip().lower()
    if word and len(word) < 254 and not candidates:
        candidates = [Address(word)]
    for address in candidates:
        service = resolve(view, address, key.namespace)
        if service and view.get(service):
            yield Edge(key, Relation.USES, service, path)


def _complaints(view: View, key: ObjectKey, _: Object) -> Iterator[Edge]:
    for service, path in complained_of(view, key):
        yield Edge(key, Relation.COMPLAINS, service, path)


def complained_of(view: View, pod: ObjectKey) -> Iterator[tuple[ObjectKey, str]]:
    """The Services that logs, events and termination messages of a pod say cannot be reached, and who said
    so.
    """
    for path, said in _words(view, pod):
        for complaint in complaints(said):
            for address in complaint.addresses:
                service = resolve(view, address, pod.namespace)
                if service:
                    yield service, path
            for word in complaint.words:
                service = ObjectKey("v1", "Service", pod.namespace, word)
                if service in view.objects:
                    yield service, path


def _words(view: View, pod: ObjectKey) -> Iterator[tuple[str, str]]:
    for status in workloads.container_statuses(view.get(pod)):
        name = text(status, "name")
        for log in view.logs(pod, name):
            yield f"log {name}", log.text
        for state in ("state", "lastState"):
            yield f"status {name}", text(status, state, "terminated", "message")


def resolve(view: View, address: Address, namespace: str) -> ObjectKey | None:
    """The Service that a pod in `namespace` means by an address; None if it can only be something else."""
    if is_ip(address.host):
        return service_with_ip(view, address.host)
    named = service_of(address.host, namespace)
    return ObjectKey("v1", "Service", named[0], named[1]) if named else None


def service_with_ip(view: View, ip: str) -> ObjectKey | None:
    """The Service with this cluster IP."""
    return next(
        (
            key
            for key in view.kind("Service")
            if ip
            in (
                text(view.objects[key], "spec", "clusterIP"),
                *strings(view.objects[key], "spec", "clusterIPs"),
            )
        ),
        None,
    )


def _indexed(pairs: Iterable[tuple[ObjectKey, Edge]]) -> Mapping[ObjectKey, tuple[Edge, ...]]:
    grouped: dict[ObjectKey, list[Edge]] = defaultdict(list)
    for key, edge in pairs:
        grouped[key].append(edge)
    return {key: tuple(edges) for key, edges in grouped.items()}
