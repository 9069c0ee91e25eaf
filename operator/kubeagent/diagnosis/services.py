"""What a Service has behind it, what it was meant to have, and who says that it cannot be reached.

Shared by gathering (which must know whether a Service is worth a closer look) and by the rules about
services.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kubeagent.diagnosis import selectors, workloads
from kubeagent.diagnosis.facts import digest
from kubeagent.diagnosis.hints import Complaint, Failure, complaints, is_ip
from kubeagent.diagnosis.objects import (
    Object,
    dig,
    flag,
    mapping,
    number,
    objects,
    string_map,
    text,
)
from kubeagent.diagnosis.topology import resolve, uses
from kubeagent.diagnosis.view import View
from kubeagent.resources.refs import ObjectKey

BACKENDS = ("Deployment", "StatefulSet", "DaemonSet")


def selector_of(service: Object) -> dict[str, str]:
    """The selector; {} for a Service whose endpoints somebody else keeps."""
    return {} if text(service, "spec", "type") == "ExternalName" else string_map(service, "spec", "selector")


def ready_pods(view: View, service: ObjectKey) -> tuple[ObjectKey, ...]:
    """The selected pods that are ready."""
    return tuple(pod for pod in view.pods_selected(service) if is_ready(view.get(pod)))


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is True and nobody is deleting it."""
    return not text(pod, "metadata", "deletionTimestamp") and any(
        text(condition, "type") == "Ready" and text(condition, "status") == "True"
        for condition in objects(pod, "status", "conditions")
    )


def live_pods(view: View, service: ObjectKey) -> tuple[ObjectKey, ...]:
    """The selected pods that nobody is deleting."""
    pods = view.pods_selected(service)
    return tuple(pod for pod in pods if not text(view.get(pod), "metadata", "deletionTimestamp"))


def has_no_endpoints(view: View, service: ObjectKey) -> bool:
    """Whether a Service with a selector surely has nothing ready behind it."""
    if not selector_of(view.get(service)) or flag(view.get(service), "spec", "publishNotReadyAddresses"):
        return False
    known = view.ready_endpoints(service)
    lagging = known and live_pods(view, service)  # the slices follow the pods a little later
    return known is not None and (known == 0 or bool(lagging)) and not ready_pods(view, service)


def workloads_behind(view: View, service: ObjectKey) -> tuple[ObjectKey, ...]:
    """The workloads whose template the selector matches, at whatever number of replicas."""
    if not selector_of(view.get(service)):
        return ()
    return tuple(key for key in view.selected(service) if key.kind in BACKENDS)


class Intended(NamedTuple):
    """A workload that a Service was surely meant for, though its selector does not match, and how we know."""

    workload: ObjectKey
    why: str
    strength: int


def intended_for(view: View, service: ObjectKey) -> tuple[Intended, ...]:
    """The workloads that a Service which selects nothing was meant for, best first."""
    selector = selector_of(view.get(service))
    if not selector or live_pods(view, service) or workloads_behind(view, service):
        return ()
    found = [
        Intended(key, *guess)
        for kind in BACKENDS
        for key in view.kind(kind, service.namespace)
        if (guess := _intention(view, service, selector, key))
    ]
    found = found or _left_over(view, service, selector)
    return tuple(sorted(found, key=lambda item: (-item.strength, item.workload)))


def _left_over(view: View, service: ObjectKey, selector: dict[str, str]) -> list[Intended]:
    """For a selector that was edited: workloads with labels of those names to which no other leads."""
    if not view.last_change(service, "spec.selector"):
        return []
    others = [selector_of(view.get(key)) for key in view.kind("Service", service.namespace) if key != service]
    found = [
        Intended(key, "its selector was edited, and no other Service leads to that", 1)
        for kind in BACKENDS
        for key in view.kind(kind, service.namespace)
        if selector.keys() <= (labels := selectors.template_labels(view.get(key))).keys()
        and not any(selectors.equality(other, labels) for other in others)
    ]
    alike = [item for item in found if _alike(item.workload.name, service.name)]
    return alike or found or _listening(view, service, others)


def _listening(view: View, service: ObjectKey, others: list[dict[str, str]]) -> list[Intended]:
    """The workloads that declare the target port and to which no other Service leads."""
    targets = {port.get("targetPort", port.get("port")) for port in objects(view.get(service), "spec", "ports")}
    return [
        Intended(key, "its selector was edited, and that listens on its target port", 1)
        for kind in BACKENDS
        for key in view.kind(kind, service.namespace)
        if targets & workloads.known_ports(workloads.pod_spec(view.get(key)))
        and not any(selectors.equality(other, selectors.template_labels(view.get(key))) for other in others)
    ]


def _alike(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _intention(view: View, service: ObjectKey, selector: dict[str, str], workload: ObjectKey) -> tuple[str, int] | None:
    labels = selectors.template_labels(view.get(workload))
    if was_selected(view, selector, workload):
        return "an earlier revision of it had these labels", 5
    differing = [name for name, value in selector.items() if labels.get(name) != value]
    applied = {item.path: item.digest for item in view.applied(service, "spec.selector")}
    before = [digest(value) for value in labels.values()]
    if any(old in before for old in applied.values()):
        return "the selector that was last applied matches it", 4
    if workload.name == service.name:
        return "it has the same name", 3
    if len(differing) < len(selector):
        return f"all but {', '.join(sorted(differing))} matches", 2
    return None


def was_selected(view: View, selector: dict[str, str], workload: ObjectKey) -> bool:
    """Whether pods of an earlier revision of the workload had the labels."""
    kept = (
        mapping(view.get(key), *place)
        for kind, place in (("ReplicaSet", ("spec", "template")), ("ControllerRevision", ("data", "spec", "template")))
        for key in view.children(workload, kind)
    )
    return any(selectors.equality(selector, string_map(template, "metadata", "labels")) for template in kept)


def is_edited(view: View, service: ObjectKey) -> bool:
    """Whether somebody changed the selector or the ports after the Service was made."""
    paths = ("spec.selector", "spec.ports")
    return any(view.last_change(service, path) or view.applied(service, path) for path in paths)


def formerly(view: View, service: ObjectKey) -> ObjectKey | None:
    """The workload that an edited selector matched when it was last applied, and does not match now."""
    applied = {item.path: item.digest for item in view.applied(service, "spec.selector")}
    selected = workloads_behind(view, service)
    for kind in BACKENDS if applied else ():
        for key in view.kind(kind, service.namespace):
            labels = selectors.template_labels(view.get(key))
            was = (digest(labels.get(path.rpartition("selector.")[2], "")) == old for path, old in applied.items())
            if key not in selected and all(was):
                return key
    return None


def misdirected(view: View, service: ObjectKey) -> ObjectKey | None:
    """For an edited selector that now leads to others: the workload to which it led before."""
    return formerly(view, service) if workloads_behind(view, service) else None


class Mismatch(NamedTuple):
    """A port of a Service that leads to no declared port of the ready pods behind it."""

    port: Object
    path: str
    target: int | str
    declared: tuple[int | str, ...]
    named: bool


def port_mismatches(view: View, service: ObjectKey) -> Iterator[Mismatch]:
    """The ports of a Service that no container of any selected pod declares, though they declare others."""
    pods = [pod for pod in view.pods_selected(service) if not text(view.get(pod), "metadata", "deletionTimestamp")]
    specs = [workloads.pod_spec(view.get(pod)) for pod in pods]
    if not specs:
        specs = [workloads.pod_spec(view.get(key)) for key in workloads_behind(view, service)]
    declared = set().union(*(workloads.known_ports(spec) for spec in specs)) if specs else set()
    edited = bool(view.last_change(service, "spec.ports") or view.applied(service, "spec.ports"))
    for port in objects(view.get(service), "spec", "ports"):
        target = port.get("targetPort", port.get("port"))
        if not isinstance(target, int | str) or target in declared or target == 0:
            continue
        if not specs or not (declared or edited):
            continue
        shown = tuple(sorted(declared, key=lambda item: (isinstance(item, str), str(item))))
        yield Mismatch(port, port_path(port, "targetPort"), target, shown, isinstance(target, str))


def port_path(port: Object, field: str) -> str:
    """`spec.ports[name=http].targetPort`; a port without a name is told by its number."""
    mark = f"name={text(port, 'name')}" if text(port, "name") else f"port={number(port, 'port')}"
    return f"spec.ports[{mark}].{field}"


def is_suspicious(view: View, service: ObjectKey) -> bool:
    """Whether something may be wrong with the Service, so that a client's complaint counts."""
    return bool(has_no_endpoints(view, service) or any(port_mismatches(view, service)) or misdirected(view, service))


class Grievance(NamedTuple):
    """A pod's container that says it cannot reach a Service."""

    pod: ObjectKey
    container: str
    service: ObjectKey
    complaint: Complaint
    source: str
    port: int


def grievances(view: View, pod: ObjectKey) -> Iterator[Grievance]:
    """Whom the containers of a pod say they cannot reach: the newest line for each Service."""
    for status in workloads.container_statuses(view.get(pod)):
        container = text(status, "name")
        newest: dict[ObjectKey, Grievance] = {}
        for source, said in _said(view, pod, container, status):
            for complaint in complaints(said):
                for service, port in _meant(view, pod, complaint):
                    newest[service] = Grievance(pod, container, service, complaint, source, port)
        yield from newest.values()


def _said(view: View, pod: ObjectKey, container: str, status: Object) -> Iterator[tuple[str, str]]:
    for state in ("lastState", "state"):
        yield "status", text(status, state, "terminated", "message")
    for log in view.logs(pod, container):
        yield "log", log.text


def _meant(view: View, pod: ObjectKey, complaint: Complaint) -> Iterator[tuple[ObjectKey, int]]:
    found = False
    for address in complaint.addresses:
        service = resolve(view, address, pod.namespace)
        if service and (view.get(service) or _surely_a_service(view, address.host, service)):
            found = True
            yield service, address.port
    if not found:
        named = [ObjectKey("v1", "Service", pod.namespace, word) for word in complaint.words]
        known = [service for service in named if service in view.objects]
        yield from ((service, 0) for service in known or _used_and_down(view, pod, complaint))


def _used_and_down(view: View, pod: ObjectKey, complaint: Complaint) -> list[ObjectKey]:
    """For a complaint that names nobody: the Services of the pod's configuration that have nothing behind
    them.
    """
    if complaint.addresses or complaint.failure is Failure.FAILED:
        return []
    edges = uses(view, pod, workloads.pod_spec(view.get(pod)))
    return sorted({edge.target for edge in edges if has_no_endpoints(view, edge.target)})


def _surely_a_service(view: View, host: str, service: ObjectKey) -> bool:
    """A name that can only mean a Service of this cluster, which then does not exist."""
    local = "." not in host or ".svc" in host
    return not is_ip(host) and local and view.is_absent("Service", service.namespace, service.name)


def endpoints_text(view: View, service: ObjectKey) -> str:
    """How many selected pods there are and how many are ready."""
    pods = view.pods_selected(service)
    return f"{len(ready_pods(view, service))} of {len(pods)} selected pods ready"


def asks_for_port(service: Object, port: int) -> bool:
    """Whether a Service offers a port; 0 stands for an unknown one."""
    return port == 0 or any(dig(item, "port") == port for item in objects(service, "spec", "ports"))
