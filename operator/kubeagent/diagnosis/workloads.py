"""What is the same in all that runs pods: where its pod template is, its containers, its field paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kubeagent.diagnosis.objects import Object, mapping, objects, text

RUNNERS: Final = (
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
)
"""Kinds with a pod template."""

SCALED: Final = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
"""Kinds whose spec.replicas says how many pods there should be."""

API_VERSIONS: Final = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "ReplicationController": "v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
}


def template_path(kind: str) -> str:
    """The field path of the pod spec in an object of this kind."""
    if kind == "Pod":
        return "spec"
    return "spec.jobTemplate.spec.template.spec" if kind == "CronJob" else "spec.template.spec"


def pod_spec(obj: Object) -> Object:
    """The pod spec of a Pod or of anything with a template."""
    match text(obj, "kind"):
        case "Pod":
            return mapping(obj, "spec")
        case "CronJob":
            return mapping(obj, "spec", "jobTemplate", "spec", "template", "spec")
        case _:
            return mapping(obj, "spec", "template", "spec")


def template(obj: Object) -> Object:
    """The pod template: what revisions differ in."""
    if text(obj, "kind") == "CronJob":
        return mapping(obj, "spec", "jobTemplate", "spec", "template")
    return mapping(obj, "spec", "template")


def containers(spec: Object) -> list[Object]:
    """The containers of a pod spec, init containers first, as they start."""
    return [*objects(spec, "initContainers"), *objects(spec, "containers")]


def container_named(spec: Object, name: str) -> Object:
    """The container of that name, or {}."""
    return next((item for item in containers(spec) if text(item, "name") == name), {})


def container_path(kind: str, spec: Object, name: str) -> str:
    """`spec.template.spec.containers[name=web]`, or `...initContainers[name=web]`."""
    init = any(text(item, "name") == name for item in objects(spec, "initContainers"))
    return f"{template_path(kind)}.{'initContainers' if init else 'containers'}[name={name}]"


def container_statuses(pod: Object) -> Iterator[Object]:
    """The statuses of init containers and containers."""
    yield from objects(pod, "status", "initContainerStatuses")
    yield from objects(pod, "status", "containerStatuses")


def is_sidecar(spec: Object, name: str) -> bool:
    """An init container that keeps running (restartPolicy Always)."""
    return any(
        text(item, "name") == name and text(item, "restartPolicy") == "Always"
        for item in objects(spec, "initContainers")
    )


def known_ports(spec: Object) -> set[int | str]:
    """The ports on which the containers listen as far as anybody says: declared ones, and those that probes
    ask.
    """
    asked = {
        port
        for container in containers(spec)
        for probe in ("readinessProbe", "livenessProbe", "startupProbe")
        for handler in ("httpGet", "tcpSocket", "grpc")
        if isinstance(port := mapping(container, probe, handler).get("port"), int)
    }
    return declared_ports(spec) | asked


def declared_ports(spec: Object) -> set[int | str]:
    """The numbers and names of the ports that the containers declare."""
    ports: set[int | str] = set()
    for container in containers(spec):
        for port in objects(container, "ports"):
            ports |= {value for name in ("containerPort", "name") if isinstance(value := port.get(name), int | str)}
    return ports
