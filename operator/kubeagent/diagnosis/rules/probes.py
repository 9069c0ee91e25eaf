"""Probes: a liveness or startup probe that kills a healthy process, a readiness probe that keeps it out of
service.

The kubelet quotes the failure in its Unhealthy events. Fault is the probe if the newest revision changed it,
or if it asks a port that no container of the pod declares; otherwise the application may really be ill.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from kubeagent.diagnosis import services
from kubeagent.diagnosis.findings import Finding, Reason, State, Weight, states
from kubeagent.diagnosis.history import differences
from kubeagent.diagnosis.objects import Object, dig, mapping, moment, number, text
from kubeagent.diagnosis.quotes import Quote, sentence
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.topology import Relation
from kubeagent.diagnosis.troubles import Kind, Trouble, is_of_now
from kubeagent.diagnosis.view import Event
from kubeagent.diagnosis.workloads import container_named, container_path, container_statuses, declared_ports
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

_LOOKS_AT = "Unhealthy and Killing events, the probe's port and the declared ones, the revision that set the probe"


def _reason(code: str, weight: Weight, advice: str) -> Reason:
    return Reason(code, Category.PROBE, weight, _LOOKS_AT, advice)


LIVENESS_WRONG = _reason("LivenessProbeWrong", Weight.EXACT, "Put the liveness probe back to what it was.")
LIVENESS_FAILS = _reason("LivenessProbeFailing", Weight.LIKELY, "Check what the probe asks, and the process behind it.")
STARTUP_WRONG = _reason("StartupProbeWrong", Weight.EXACT, "Put the startup probe back to what it was.")
STARTUP_FAILS = _reason(
    "StartupProbeFailing", Weight.LIKELY, "Check what the probe asks, and how long the start takes."
)
READINESS_WRONG = _reason("ReadinessProbeWrong", Weight.EXACT, "Put the readiness probe back to what it was.")
READINESS_FAILS = _reason("ReadinessProbeFailing", Weight.GENERIC, "Check why the process does not become ready.")

_KINDS: Final = {
    "Liveness": ("livenessProbe", LIVENESS_WRONG, LIVENESS_FAILS),
    "Startup": ("startupProbe", STARTUP_WRONG, STARTUP_FAILS),
    "Readiness": ("readinessProbe", READINESS_WRONG, READINESS_FAILS),
}
_FAILED = re.compile(r"^(Liveness|Startup|Readiness) probe (?:failed|errored)", re.I)
_RECENT: Final = timedelta(minutes=10)
_HANDLERS: Final = ("httpGet", "tcpSocket", "grpc")


def failing_probes(scene: Scene) -> Iterator[Finding]:
    """A probe that fails now and takes the container down, or keeps it from becoming ready."""
    for pod in scene.view.kind("Pod"):
        if not is_of_now(scene.view, pod):
            continue
        newest: dict[tuple[str, str], Event] = {}
        for event in scene.view.events(pod, "Unhealthy"):
            match = _FAILED.match(event.message)
            if match and event.time and scene.view.now - event.time < _RECENT:
                newest[event.container or _only_container(scene, pod), match.group(1).capitalize()] = event
        for (container, kind), event in newest.items():
            yield from _finding(scene, pod, container, kind, event)


def _only_container(scene: Scene, pod: ObjectKey) -> str:
    return next((text(status, "name") for status in container_statuses(scene.view.get(pod))), "")


def _finding(scene: Scene, pod: ObjectKey, container: str, kind: str, event: Event) -> Iterator[Finding]:
    field, wrong, fails = _KINDS[kind]
    trouble = Trouble(Kind.UNREADY, pod, container, event.reason, event.message, event.quote, event.time)
    workload, path = scene.place(trouble, f".{field}")
    probe = mapping(container_named(scene.spec(pod), container), field)
    where = _field_of(scene, pod, workload, path, probe)
    asked = _services_asked(scene, pod, container, field)
    if not _matters(scene, pod, container, kind, event, certain=where != path or bool(asked)):
        return
    alteration = scene.alteration(workload, path)
    spec_path = container_path("Pod", scene.spec(pod), container)
    yield Finding(
        wrong if where != path else fails,
        workload,
        f"{kind.lower()} probe of container {container} in {workload} fails: {_short(event.message)}"
        f"{scene.told(alteration)}",
        field=where,
        message=sentence(event.message, 300),
        quotes=(
            event.quote,
            *_killings(scene, pod, container),
            *scene.field_quotes(pod, f"{spec_path}.{field}"),
            *scene.change_quotes(workload, path),
        ),
        shows=frozenset({State(pod, container)}) if fails is READINESS_FAILS and where == path else frozenset(),
        effects=frozenset({State(pod, container)}),
        because=states(*asked) if where == path else frozenset(),
        alteration=alteration,
        since=event.time,
        certain=where != path,
    )


def _services_asked(scene: Scene, pod: ObjectKey, container: str, probe: str) -> list[ObjectKey]:
    """The Services without endpoints that the probe's command calls: then it tells of them, not of the container."""
    place = f"containers[name={container}].{probe}."
    named = [edge.target for edge in scene.topology.needs(pod, Relation.USES) if edge.path.startswith(place)]
    return [service for service in named if services.has_no_endpoints(scene.view, service)]


def _field_of(scene: Scene, pod: ObjectKey, workload: ObjectKey, path: str, probe: Object) -> str:
    """The field of the probe that is wrong: what the newest revision changed in it, or a port that nobody
    declares.
    """
    changed = [item for item in differences(scene.view, workload) if item.path.startswith(f"{path}.")]
    edited = [item.path for item in changed if item.old is not None and item.new is not None]
    if edited:
        return min(edited, key=lambda item: (not item.endswith(".port"), item))
    handler = next((name for name in _HANDLERS if mapping(probe, name)), "")
    port = dig(probe, handler, "port") if handler else None
    declared = declared_ports(scene.spec(pod))
    if port is not None and declared and port not in declared:
        return f"{path}.{handler}.port"
    return f"{path}.{handler}" if handler and changed else path


def _matters(scene: Scene, pod: ObjectKey, container: str, kind: str, event: Event, certain: bool) -> bool:
    """Failures while a process starts are normal; what kills it, or lasts, is not."""
    status = next((item for item in container_statuses(scene.view.get(pod)) if text(item, "name") == container), {})
    started = moment(status, "state", "running", "startedAt")
    if kind == "Readiness":
        if dig(status, "ready") is True:
            return False
        hard = any(item.pod == pod and item.hard for item in scene.in_trouble(Kind.UNREADY))
        return hard or (certain and event.times >= 2)
    restarted = number(status, "restartCount") > 0 or any(_killings(scene, pod, container))
    long_ready = (
        dig(status, "ready") is True and started is not None and event.time is not None and started > event.time
    )
    if long_ready and started is not None and (scene.view.now - started).total_seconds() > 120:
        return False
    return restarted or (certain and event.times >= 1)


def _killings(scene: Scene, pod: ObjectKey, container: str) -> tuple[Quote, ...]:
    events = scene.view.events(pod, "Killing")
    return tuple(event.quote for event in events if "probe" in event.message and event.container in ("", container))[
        -1:
    ]


def _short(message: str) -> str:
    return sentence(message.partition(": ")[2] or message, 240)
