"""Ingresses whose backend is not there: the Service, or the port of it. Nobody emits an event about that."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from kubeagent.diagnosis.findings import Finding, Reason, Weight, states
from kubeagent.diagnosis.objects import Object, mapping, number, objects, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.rules.clients import SERVICE_MISSING
from kubeagent.diagnosis.scene import Scene
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

BACKEND_WRONG = Reason(
    "IngressBackendWrong",
    Category.INGRESS,
    Weight.EXACT,
    "the Services and ports that an Ingress names, and those that exist",
    "Correct the backend of the Ingress.",
)


def broken_backends(scene: Scene) -> Iterator[Finding]:
    """A backend that names a Service or a port that does not exist."""
    for key in scene.view.kind("Ingress"):
        for path, backend in _backends(scene.view.get(key)):
            service = ObjectKey("v1", "Service", key.namespace, text(backend, "name"))
            if not scene.view.get(service):
                if service.name and scene.view.is_absent("Service", key.namespace, service.name):
                    yield _service_missing(scene, key, path, service)
            elif not _offers(scene.view.get(service), mapping(backend, "port")):
                yield _wrong(scene, key, f"{path}.port", f"a port that {service} does not offer")


def _backends(ingress: Object) -> Iterator[tuple[str, Object]]:
    default = mapping(ingress, "spec", "defaultBackend", "service")
    if default:
        yield "spec.defaultBackend.service", default
    for place, rule in enumerate(objects(ingress, "spec", "rules")):
        for at, route in enumerate(objects(rule, "http", "paths")):
            path = f"spec.rules[{place}].http.paths[{at}].backend.service"
            yield path, mapping(route, "backend", "service")


def _offers(service: Object, port: Object) -> bool:
    ports = objects(service, "spec", "ports")
    name, wanted = text(port, "name"), number(port, "number")
    return (
        not (name or wanted)
        or text(service, "spec", "type") == "ExternalName"
        or any((name and text(item, "name") == name) or (wanted and number(item, "port") == wanted) for item in ports)
    )


def _service_missing(scene: Scene, key: ObjectKey, path: str, service: ObjectKey) -> Finding:
    """The Ingress is at fault if it was edited, or if a Service has nearly that name; else the Service is gone."""
    known = [other.name for other in scene.view.kind("Service", key.namespace)]
    near = difflib.get_close_matches(service.name, known, n=1, cutoff=0.8)
    if near or scene.view.last_change(key, path) or scene.view.applied(key, path):
        hint = f"; there is {near[0]}" if near else ""
        return _wrong(scene, key, f"{path}.name", f"{service}, which does not exist{hint}")
    return Finding(
        SERVICE_MISSING,
        service,
        f"{service} does not exist, and {key} leads to it",
        message=f"{service} does not exist",
        quotes=(*scene.field_quotes(key, f"{path}.name"), Quote("absent", service, f"{service} not found")),
        effects=states(key),
        certain=True,
    )


def _wrong(scene: Scene, key: ObjectKey, path: str, what: str) -> Finding:
    alteration = scene.alteration(key, path)
    return Finding(
        BACKEND_WRONG,
        key,
        f"{key} leads to {what}{scene.told(alteration)}",
        field=path,
        message=f"{key} leads to {what}",
        quotes=(*scene.field_quotes(key, path), *scene.change_quotes(key, path)),
        effects=states(key),
        alteration=alteration,
        certain=True,
    )
