"""Services that lead nowhere, and those who say so.

A Service without ready endpoints is a symptom: of its selector, of its workload's replicas, or of pods that
are ill, which other rules and the topology explain. A client's complaint is a symptom too, and counts only
while the Service that it names is still out of order, or the client keeps falling over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubeagent.diagnosis import services
from kubeagent.diagnosis.findings import Finding, Reason, State, Weight, states
from kubeagent.diagnosis.hints import Failure
from kubeagent.diagnosis.objects import flag, number, objects, string_map, text
from kubeagent.diagnosis.quotes import Quote, sentence
from kubeagent.diagnosis.scene import Scene, change_quote
from kubeagent.diagnosis.services import Grievance, Mismatch
from kubeagent.diagnosis.topology import Relation, settings
from kubeagent.diagnosis.troubles import is_of_now
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

SELECTOR_MATCHES_NOTHING = Reason(
    "ServiceSelectorMismatch",
    Category.SERVICE,
    Weight.EXACT,
    "a Service that selects no pod and no template, and the workload that it was meant for",
    "Put the Service's selector back to the labels of the pods.",
)
TARGET_PORT_WRONG = Reason(
    "ServiceTargetPortWrong",
    Category.SERVICE,
    Weight.EXACT,
    "a targetPort that no container behind the Service declares, changed lately or complained about",
    "Put targetPort back to the port on which the containers listen.",
)
SCALED_TO_ZERO = Reason(
    "ScaledToZero",
    Category.WORKLOAD,
    Weight.EXACT,
    "replicas 0 of the workload behind a Service that somebody misses",
    "Scale the workload up again, or stop whoever scales it down.",
)
SERVICE_MISSING = Reason(
    "ServiceNotFound",
    Category.SERVICE,
    Weight.EXACT,
    "a name that cannot be resolved and that no Service has",
    "Create the Service again, or correct the name in the client.",
)
SERVICE_PORT_WRONG = Reason(
    "DependencyPortWrong",
    Category.CONFIGURATION,
    Weight.SPECIFIC,
    "a client refused on a port that the Service does not offer",
    "Correct the port that the client is configured with.",
)
NO_ENDPOINTS = Reason(
    "ServiceWithoutEndpoints",
    Category.SERVICE,
    Weight.SYMPTOM,
    "a Service with a selector and no ready endpoint",
    "",
)
DEPENDENCY_UNREACHABLE = Reason(
    "DependencyUnreachable",
    Category.DEPENDENCY,
    Weight.SYMPTOM,
    "log lines and termination messages about a Service that cannot be reached",
    "",
)


def without_endpoints(scene: Scene) -> Iterator[Finding]:
    """The symptom: nothing ready behind a Service."""
    for key in scene.view.kind("Service"):
        if services.has_no_endpoints(scene.view, key) and _is_noticed(scene, key):
            told = services.endpoints_text(scene.view, key)
            yield Finding(
                NO_ENDPOINTS,
                key,
                f"{key} has no ready endpoint ({told})",
                quotes=scene.field_quotes(key, "spec.selector"),
                shows=states(key),
                effects=states(key),
            )


def _is_noticed(scene: Scene, key: ObjectKey) -> bool:
    """A Service that nobody misses and that has no pods may be meant to be so."""
    return bool(scene.view.pods_selected(key)) or is_missed(scene, key)


def wrong_selector(scene: Scene) -> Iterator[Finding]:
    """A selector that matches nothing, though there is a workload that it was meant for."""
    for key in scene.view.kind("Service"):
        if not services.has_no_endpoints(scene.view, key):
            continue
        meant = services.intended_for(scene.view, key)
        if not _is_missed_or_changed(scene, key):
            continue
        if len(meant) != 1 and (not meant or meant[0].strength < 2):
            yield from _selects_nothing(scene, key)
            continue
        best = meant[0]
        alteration = scene.alteration(key, "spec.selector")
        labels = [
            quote
            for pod in scene.view.pods_of(best.workload)[:1]
            for quote in scene.field_quotes(pod, "metadata.labels")
        ]
        yield Finding(
            SELECTOR_MATCHES_NOTHING,
            key,
            f"the selector of {key} ({_selector(scene, key)}) matches no pod; {best.workload} was "
            f"meant: {best.why}"
            f"{scene.told(alteration)}",
            field="spec.selector",
            message=f"the selector of {key} matches no pod",
            quotes=(
                *scene.field_quotes(key, "spec.selector"),
                *(labels or scene.field_quotes(best.workload, "spec.template.metadata.labels")),
                *scene.change_quotes(key, "spec.selector"),
            ),
            effects=states(key),
            alteration=alteration,
            certain=best.strength >= 3 or alteration is not None,
        )


def _selects_nothing(scene: Scene, key: ObjectKey) -> Iterator[Finding]:
    """An edited selector that surely matches nothing, whatever it was meant for."""
    selector = services.selector_of(scene.view.get(key))
    alteration = scene.alteration(key, "spec.selector")
    known = all(scene.view.listed(kind, key.namespace) for kind in services.BACKENDS)
    matched = scene.view.pods_selected(key) or services.workloads_behind(scene.view, key)
    if selector and alteration and known and not matched:
        yield Finding(
            SELECTOR_MATCHES_NOTHING,
            key,
            f"the selector of {key} ({_selector(scene, key)}) matches no pod and no workload{scene.told(alteration)}",
            field="spec.selector",
            message=f"the selector of {key} matches no pod",
            quotes=(*scene.field_quotes(key, "spec.selector"), *scene.change_quotes(key, "spec.selector")),
            effects=states(key),
            alteration=alteration,
        )


def _is_missed_or_changed(scene: Scene, key: ObjectKey) -> bool:
    changed = scene.view.last_change(key, "spec.selector") or scene.view.applied(key, "spec.selector")
    return bool(changed) or is_missed(scene, key)


def _selector(scene: Scene, key: ObjectKey) -> str:
    return ", ".join(
        f"{name}={value}" for name, value in sorted(string_map(scene.view.get(key), "spec", "selector").items())
    )


def is_missed(scene: Scene, service: ObjectKey) -> bool:
    """Whether somebody wants the Service: it was asked about, or a client complains."""
    target = scene.view.target
    asked = target == service or (target.kind == "Ingress" and bool(scene.topology.users(service, Relation.BACKEND)))
    return asked or any(item.service == service for item in scene.grievances)


def wrong_target_port(scene: Scene) -> Iterator[Finding]:
    """A Service that sends to a port on which nobody listens."""
    for key in scene.view.kind("Service"):
        for mismatch in services.port_mismatches(scene.view, key):
            change = scene.view.last_change(key, "spec.ports")
            applied = scene.view.applied(key, "spec.ports")
            complained = [item for item in scene.grievances if item.service == key]
            proven = complained or (mismatch.declared and (change or applied))
            if proven or (mismatch.named and scene.view.pods_selected(key)):
                yield _target_port(scene, key, mismatch, complained)


def _target_port(scene: Scene, key: ObjectKey, mismatch: Mismatch, complained: list[Grievance]) -> Finding:
    change = scene.view.last_change(key, "spec.ports")
    alteration = scene.alteration(key, "spec.ports")
    declared = ", ".join(str(port) for port in mismatch.declared)
    listening = f"but the containers behind it listen on {declared}" if declared else "on which nothing seems to listen"
    pods = scene.view.pods_selected(key)
    return Finding(
        TARGET_PORT_WRONG,
        key,
        f"{key} sends to port {mismatch.target}, {listening}{scene.told(alteration)}",
        field=mismatch.path,
        message=f"{key} sends to port {mismatch.target}, on which nothing listens",
        quotes=(
            *scene.field_quotes(key, mismatch.path),
            *(_said(item) for item in complained[:2]),
            *(quote for pod in pods[:1] for quote in _ports(scene, pod)),
            *((change_quote(change),) if change else ()),
            *_applied(scene, key),
        ),
        effects=states(key),
        alteration=alteration,
        certain=mismatch.named or bool(complained) or alteration is not None,
    )


def _ports(scene: Scene, pod: ObjectKey) -> Iterator[Quote]:
    for container in objects(scene.spec(pod), "containers"):
        if container.get("ports"):
            yield from scene.field_quotes(pod, f"spec.containers[name={text(container, 'name')}].ports")


def _applied(scene: Scene, key: ObjectKey) -> tuple[Quote, ...]:
    return tuple(
        Quote("last-applied", key, f"{item.path}: {item.state}", None, item.path)
        for item in scene.view.applied(key, "spec.ports")[:2]
    )


def scaled_to_zero(scene: Scene) -> Iterator[Finding]:
    """Somebody misses a Service, and every workload behind it was scaled to nothing."""
    for key in scene.view.kind("Service"):
        if not services.has_no_endpoints(scene.view, key) or not is_missed(scene, key):
            continue
        behind = services.workloads_behind(scene.view, key)
        scaled = [item for item in behind if item.kind in ("Deployment", "StatefulSet")]
        if scaled and all(scene.replicas(item) == 0 for item in scaled) and len(scaled) == len(behind):
            for workload in scaled:
                yield _scaled(scene, key, workload)


def _scaled(scene: Scene, service: ObjectKey, workload: ObjectKey) -> Finding:
    alteration = scene.alteration(workload, "spec.replicas")
    change = scene.view.last_change(workload, "spec.replicas")
    events = [
        event
        for event in scene.view.events(workload, "ScalingReplicaSet", "SuccessfulDelete")
        if " to 0" in event.message
    ]
    time = change.time if change else events[-1].time if events else None
    told = alteration._replace(time=time, what="") if alteration else None
    return Finding(
        SCALED_TO_ZERO,
        workload,
        f"{workload} is scaled to 0, so {service} has no endpoint{scene.told(told)}",
        field="spec.replicas",
        message=f"{workload} is scaled to 0",
        quotes=(
            *scene.field_quotes(workload, "spec.replicas"),
            *(event.quote for event in events[-1:]),
            *scene.change_quotes(workload, "spec.replicas"),
        ),
        effects=states(service),
        alteration=told,
        since=time,
        certain=True,
    )


def complaints(scene: Scene) -> Iterator[Finding]:
    """The symptom of a client; and its cause where that is the name or the port it uses."""
    for item in scene.grievances:
        if not is_of_now(scene.view, item.pod):
            continue
        service = scene.view.get(item.service)
        if not service:
            yield from (_service_missing(scene, item),) if _depends(scene, item) else ()
        elif not services.asks_for_port(service, item.port):
            yield _port_wrong(scene, item)
        elif _is_out_of_order(scene, item.service):
            yield _unreachable(scene, item)


def _depends(scene: Scene, item: Grievance) -> bool:
    """Whether a name that does not exist hurts: the pod is in trouble, or was told to use it."""
    vague = item.complaint.failure is Failure.FAILED
    troubled = not vague and any(trouble.pod == item.pod for trouble in scene.troubles)
    told = (value for _, value in settings(scene.view, item.pod, scene.spec(item.pod)))
    return troubled or any(re.search(rf"\b{re.escape(item.service.name)}\b", value) for value in told)


def _is_out_of_order(scene: Scene, service: ObjectKey) -> bool:
    return services.is_suspicious(scene.view, service)


def _said(item: Grievance) -> Quote:
    return Quote(item.source, item.pod, item.complaint.line, None, f"spec.containers[name={item.container}]")


def _unreachable(scene: Scene, item: Grievance) -> Finding:
    return Finding(
        DEPENDENCY_UNREACHABLE,
        item.pod,
        f"container {item.container} cannot reach {item.service}: {sentence(item.complaint.line, 300)}",
        quotes=(_said(item),),
        shows=states(State(item.pod, item.container)),
        effects=states(State(item.pod, item.container)),
        because=states(item.service),
    )


def _service_missing(scene: Scene, item: Grievance) -> Finding:
    workload = scene.view.workload_of(item.pod)
    return Finding(
        SERVICE_MISSING,
        item.service,
        f"{item.service} does not exist, and container {item.container} of {workload} calls it",
        quotes=(_said(item), Quote("absent", item.service, f"{item.service} not found")),
        effects=states(State(item.pod, item.container)),
        certain=True,
    )


def _port_wrong(scene: Scene, item: Grievance) -> Finding:
    workload = scene.view.workload_of(item.pod)
    service = scene.view.get(item.service)
    ports = ", ".join(str(number(port, "port")) for port in objects(service, "spec", "ports"))
    path = next(
        (edge.path for edge in scene.topology.needs(item.pod, Relation.USES) if edge.target == item.service),
        "",
    )
    prefix = "spec.template.spec." if workload.kind not in ("Pod", "CronJob") else "spec."
    return Finding(
        SERVICE_PORT_WRONG,
        workload,
        f"container {item.container} of {workload} calls {item.service} on port {item.port}, which offers {ports}",
        field=f"{prefix}{path}" if path else "",
        quotes=(_said(item), *scene.field_quotes(item.service, "spec.ports")),
        effects=states(State(item.pod, item.container)),
        certain=not flag(service, "spec", "publishNotReadyAddresses"),
    )
