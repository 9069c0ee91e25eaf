"""Clients that say they cannot reach a Service, and the causes that lie in what they were told to call.

A complaint is a symptom, and counts only while the Service that it names is still out of order, or the client keeps
falling over it. Where the name or the port itself is wrong, whoever changed it last is at fault: the client's
configuration, or the Service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kubeagent.diagnosis import services
from kubeagent.diagnosis.facts import digest
from kubeagent.diagnosis.findings import Alteration, Finding, Reason, State, Weight, states
from kubeagent.diagnosis.hints import Failure
from kubeagent.diagnosis.history import Difference, last_difference
from kubeagent.diagnosis.objects import child, flag, number, objects, string_map, text
from kubeagent.diagnosis.quotes import Quote, sentence
from kubeagent.diagnosis.scene import Scene, change_quote
from kubeagent.diagnosis.services import Grievance
from kubeagent.diagnosis.topology import settings
from kubeagent.diagnosis.troubles import is_of_now
from kubeagent.diagnosis.workloads import container_path
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

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
SERVICE_PORT_CHANGED = Reason(
    "ServicePortChanged",
    Category.SERVICE,
    Weight.EXACT,
    "a client refused on a port that the Service offered until it was edited",
    "Put the Service's port back, or correct it in every client.",
)
HOST_WRONG = Reason(
    "DependencyHostWrong",
    Category.CONFIGURATION,
    Weight.EXACT,
    "a client whose configuration was changed to the name of a Service that does not exist",
    "Put the name back to what it was.",
)
DEPENDENCY_UNREACHABLE = Reason(
    "DependencyUnreachable",
    Category.DEPENDENCY,
    Weight.SYMPTOM,
    "log lines and termination messages about a Service that cannot be reached",
    "",
)


class Setting(NamedTuple):
    """Where a client was told whom to call: in its workload or in a ConfigMap; and how that was changed."""

    object: ObjectKey
    field: str
    difference: Difference | None
    alteration: Alteration | None


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
        elif services.is_suspicious(scene.view, item.service):
            yield _unreachable(scene, item)


def _depends(scene: Scene, item: Grievance) -> bool:
    """Whether a name that does not exist hurts: the pod is in trouble, or was told to use it."""
    vague = item.complaint.failure is Failure.FAILED
    troubled = not vague and any(trouble.pod == item.pod for trouble in scene.troubles)
    told = (value for _, value in settings(scene.view, item.pod, scene.spec(item.pod)))
    return troubled or any(_names(item.service, value) for value in told)


def _names(service: ObjectKey, value: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(service.name)}(?![\w-])", value) is not None


def said(item: Grievance) -> Quote:
    """The client's own words."""
    return Quote(item.source, item.pod, item.complaint.line, None, f"spec.containers[name={item.container}]")


def _unreachable(scene: Scene, item: Grievance) -> Finding:
    return Finding(
        DEPENDENCY_UNREACHABLE,
        item.pod,
        f"container {item.container} cannot reach {item.service}: {sentence(item.complaint.line, 300)}",
        quotes=(said(item),),
        shows=states(State(item.pod, item.container)),
        effects=states(State(item.pod, item.container)),
        because=states(item.service),
    )


def _setting(scene: Scene, item: Grievance) -> Setting | None:
    """The env variable, argument or ConfigMap key that names the Service; rather one that was changed."""
    found = [*_in_template(scene, item), *_in_config_maps(scene, item)]
    return min(found, key=lambda each: (each.alteration is None, each.difference is None), default=None)


def _in_template(scene: Scene, item: Grievance) -> Iterator[Setting]:
    workload = scene.view.workload_of(item.pod)
    spec = scene.spec(item.pod)
    for container in objects(spec, "containers"):
        path = container_path(workload.kind, spec, text(container, "name"))
        places = [
            (f"{path}.env[name={text(each, 'name')}].value", text(each, "value")) for each in objects(container, "env")
        ]
        for name in ("command", "args"):
            listed = container.get(name)
            places += [
                (f"{path}.{name}[{at}]", str(each))
                for at, each in enumerate(listed if isinstance(listed, list) else [])
            ]
        for place, value in places:
            if _names(item.service, value):
                difference = last_difference(scene.view, workload, place, lambda each: each.old is not None)
                changed = scene.alteration(workload, place) if difference else None
                yield Setting(workload, place.removesuffix(".value"), difference, changed)


def _in_config_maps(scene: Scene, item: Grievance) -> Iterator[Setting]:
    for edge in scene.topology.needs(item.pod):
        if edge.target.kind == "ConfigMap":
            for name, value in sorted(string_map(scene.view.get(edge.target), "data").items()):
                if _names(item.service, value):
                    field = child("data", name)
                    yield Setting(edge.target, field, None, _edited(scene, edge.target, field))


def _edited(scene: Scene, key: ObjectKey, field: str) -> Alteration | None:
    change = scene.view.last_change(key, field)
    if change:
        return Alteration(change.time, change.manager)
    return Alteration(None) if scene.view.applied(key, field) else None


def _service_missing(scene: Scene, item: Grievance) -> Finding:
    workload = scene.view.workload_of(item.pod)
    setting = _setting(scene, item)
    quotes = (said(item), Quote("absent", item.service, f"{item.service} not found"))
    if setting and setting.alteration:
        return _host_wrong(scene, item, setting, quotes)
    return Finding(
        SERVICE_MISSING,
        item.service,
        f"{item.service} does not exist, and container {item.container} of {workload} calls it",
        message=f"{item.service} does not exist",
        quotes=quotes,
        effects=states(State(item.pod, item.container)),
        certain=True,
    )


def _host_wrong(scene: Scene, item: Grievance, setting: Setting, quotes: tuple[Quote, ...]) -> Finding:
    workload = scene.view.workload_of(item.pod)
    what = (
        f"{setting.object} tells container {item.container} of {workload} to call {item.service}, which does not exist"
    )
    return Finding(
        HOST_WRONG,
        setting.object,
        f"{what}{scene.told(setting.alteration)}",
        field=setting.field,
        message=what,
        quotes=(*quotes, *scene.change_quotes(setting.object, setting.field)),
        effects=states(State(item.pod, item.container)),
        alteration=setting.alteration,
        certain=True,
    )


def _port_wrong(scene: Scene, item: Grievance) -> Finding:
    service = scene.view.get(item.service)
    setting = _setting(scene, item)
    workload = scene.view.workload_of(item.pod)
    ports = ", ".join(str(number(port, "port")) for port in objects(service, "spec", "ports"))
    calls = f"container {item.container} of {workload} calls {item.service} on port {item.port}"
    renumbered = _renumbered(scene, item, setting)
    if renumbered:
        alteration = scene.alteration(item.service, "spec.ports")
        change = scene.view.last_change(item.service, "spec.ports")
        return Finding(
            SERVICE_PORT_CHANGED,
            item.service,
            f"{item.service} now offers port {ports}, but {calls}{scene.told(alteration)}",
            field=renumbered,
            message=f"{item.service} now offers port {ports} instead of {item.port}",
            quotes=(
                said(item),
                *scene.field_quotes(item.service, renumbered),
                *((change_quote(change),) if change else ()),
            ),
            effects=states(State(item.pod, item.container), item.service),
            alteration=alteration,
            certain=True,
        )
    alteration = setting.alteration if setting else None
    place = setting.object if setting else workload
    return Finding(
        SERVICE_PORT_WRONG,
        place,
        f"{calls}, which offers {ports}{scene.told(alteration)}",
        field=setting.field if setting else "",
        message=f"{calls}, which offers {ports}",
        quotes=(
            said(item),
            *scene.field_quotes(item.service, "spec.ports"),
            *(scene.change_quotes(place, setting.field) if setting and alteration else ()),
        ),
        effects=states(State(item.pod, item.container)),
        alteration=alteration,
        certain=not flag(service, "spec", "publishNotReadyAddresses"),
    )


def _renumbered(scene: Scene, item: Grievance, setting: Setting | None) -> str:
    """The port field of the Service, if that once was the port that the client calls."""
    applied = scene.view.applied(item.service, "spec.ports")
    known = [each for each in applied if each.path.endswith(".port") and each.digest == digest(item.port)]
    change = scene.view.last_change(item.service, "spec.ports")
    client = setting.alteration.time if setting and setting.alteration else None
    later = change is not None and (client is None or (change.time is not None and change.time > client))
    if not known and not later:
        return ""
    ports = objects(scene.view.get(item.service), "spec", "ports")
    same = [each.path for each in known if each.state == "changed"]
    return same[0] if same else services.port_path(ports[0], "port") if ports else "spec.ports"
