"""Services that lead nowhere, or elsewhere.

A Service without ready endpoints is a symptom: of its selector, of its workload's replicas, or of pods that
are ill, which other rules and the topology explain. Of selector and labels, target port and container port, the
one that was changed is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubeagent.diagnosis import selectors, services
from kubeagent.diagnosis.findings import Alteration, Finding, Reason, Weight, states
from kubeagent.diagnosis.history import Difference, differences, last_difference
from kubeagent.diagnosis.objects import child, objects, string_map, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.rules.clients import said
from kubeagent.diagnosis.scene import Scene, change_quote
from kubeagent.diagnosis.services import Grievance, Intended, Mismatch
from kubeagent.diagnosis.topology import Relation
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
POD_LABELS_CHANGED = Reason(
    "PodLabelsChanged",
    Category.SERVICE,
    Weight.EXACT,
    "a Service that selects nothing, and a revision that took the selected labels from the pods",
    "Put the labels of the pod template back, or give the Service a selector that matches the new ones.",
)
CONTAINER_PORT_CHANGED = Reason(
    "ContainerPortChanged",
    Category.SERVICE,
    Weight.EXACT,
    "a targetPort that no container behind the Service declares any more, and the revision that changed that",
    "Put the container's port back, or let the Service send to the new one.",
)
NO_ENDPOINTS = Reason(
    "ServiceWithoutEndpoints",
    Category.SERVICE,
    Weight.SYMPTOM,
    "a Service with a selector and no ready endpoint",
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
    """A selector that leads to nothing or to the wrong pods, though there is a workload that it was meant for."""
    for key in scene.view.kind("Service"):
        if not services.has_no_endpoints(scene.view, key):
            yield from _misdirected(scene, key)
            continue
        meant = services.intended_for(scene.view, key)
        relabelled = _relabelled(scene, key, meant)
        if relabelled:
            yield relabelled
            continue
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


def _misdirected(scene: Scene, key: ObjectKey) -> Iterator[Finding]:
    """An edited selector that leads to other pods than before, and a client that is not content with them."""
    meant = services.misdirected(scene.view, key)
    complained = [item for item in scene.grievances if item.service == key]
    if meant and complained:
        now = ", ".join(str(item) for item in services.workloads_behind(scene.view, key))
        alteration = scene.alteration(key, "spec.selector")
        yield Finding(
            SELECTOR_MATCHES_NOTHING,
            key,
            f"the selector of {key} ({_selector(scene, key)}) leads to {now}, and no longer to {meant}"
            f"{scene.told(alteration)}",
            field="spec.selector",
            message=f"the selector of {key} no longer leads to {meant}",
            quotes=(
                *scene.field_quotes(key, "spec.selector"),
                said(complained[0]),
                *scene.change_quotes(key, "spec.selector"),
            ),
            effects=states(key),
            alteration=alteration,
            certain=True,
        )


def _relabelled(scene: Scene, key: ObjectKey, meant: Sequence[Intended]) -> Finding | None:
    """A workload that the Service selected until a revision changed the labels of its pods."""
    selector = services.selector_of(scene.view.get(key))
    edited = scene.view.last_change(key, "spec.selector")
    for workload in dict.fromkeys(item.workload for item in meant):
        labels = selectors.template_labels(scene.view.get(workload))
        for name in sorted(name for name, value in selector.items() if labels.get(name) != value):
            path = child("spec.template.metadata.labels", name)
            difference = scene.difference(workload, path)
            later = edited and edited.time and difference and difference.time and edited.time > difference.time
            if difference and difference.old == selector[name] and not later:
                return _label_changed(scene, key, workload, path, labels.get(name))
    return None


def _label_changed(scene: Scene, key: ObjectKey, workload: ObjectKey, path: str, now: str | None) -> Finding:
    alteration = scene.alteration(workload, path)
    name = path.rpartition("labels")[2].strip(".[]")
    what = f"label {name} of its pods was {f'changed to {now}' if now else 'removed'}"
    return Finding(
        POD_LABELS_CHANGED,
        workload,
        f"{key} ({_selector(scene, key)}) no longer selects the pods of {workload}, since {what}"
        f"{scene.told(alteration)}",
        field=path,
        message=f"{key} no longer selects the pods of {workload}, since {what}",
        quotes=(*scene.field_quotes(key, "spec.selector"), *scene.change_quotes(workload, path)),
        effects=states(key),
        alteration=alteration,
        certain=True,
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
            moved = _moved_port(scene, key, mismatch)
            if moved:
                yield moved
                continue
            change = scene.view.last_change(key, "spec.ports")
            applied = scene.view.applied(key, "spec.ports")
            complained = [item for item in scene.grievances if item.service == key]
            proven = complained or (mismatch.declared and (change or applied))
            if proven or (mismatch.named and scene.view.pods_selected(key)):
                yield _target_port(scene, key, mismatch, complained)


def _moved_port(scene: Scene, key: ObjectKey, mismatch: Mismatch) -> Finding | None:
    """A workload whose containers declared the port until a revision changed that."""
    edited = scene.view.last_change(key, "spec.ports")
    for workload in services.workloads_behind(scene.view, key):
        found = last_difference(
            scene.view,
            workload,
            "spec.template.spec.containers",
            lambda item: ".ports[" in item.path and item.old == mismatch.target,
        )
        if found and not (edited and edited.time and found.time and edited.time > found.time):
            return _port_moved(scene, key, workload, mismatch, found)
    return None


def _port_moved(scene: Scene, key: ObjectKey, workload: ObjectKey, mismatch: Mismatch, was: Difference) -> Finding:
    place, leaf = was.path.partition(".ports[")[0], was.path.rpartition(".")[2]
    now = [
        item
        for item in differences(scene.view, workload)
        if item.path.startswith(f"{place}.ports[") and item.path.endswith(f".{leaf}") and item.new is not None
    ]
    field = now[0].path if now else f"{place}.ports"
    alteration = scene.alteration(workload, field)
    instead = f"{now[0].new} instead of {mismatch.target}" if now else f"no longer port {mismatch.target}"
    return Finding(
        CONTAINER_PORT_CHANGED,
        workload,
        f"{workload} now declares port {instead}, to which {key} still sends{scene.told(alteration)}",
        field=field,
        message=f"{workload} now declares port {instead}, to which {key} still sends",
        quotes=(
            *scene.field_quotes(key, mismatch.path),
            *was.quotes(),
            *(q for item in now[:1] for q in item.quotes()),
        ),
        effects=states(key),
        alteration=alteration,
        certain=True,
    )


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
            *(said(item) for item in complained[:2]),
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
    events = events or list(scene.view.events(workload, "SuccessfulDelete"))
    time = change.time if change else events[-1].time if events else None
    told = Alteration(time, alteration.by if alteration else "") if time else None
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
