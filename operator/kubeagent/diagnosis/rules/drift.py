"""ConfigMaps that changed under a workload that reads them whole (envFrom, volumes): the kubelet says nothing
then, only the application does, after its next restart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from kubeagent.diagnosis.findings import Alteration, Finding, Reason, Weight
from kubeagent.diagnosis.history import ran_before
from kubeagent.diagnosis.objects import child, mapping, objects, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.rules.crashes import errors_said, last_words
from kubeagent.diagnosis.scene import Scene, change_quote, victim
from kubeagent.diagnosis.topology import Relation
from kubeagent.diagnosis.troubles import Kind, Trouble
from kubeagent.protocol.evidence import Change
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

CONFIG_MAP_VALUE_LOST = Reason(
    "ConfigMapValueLost",
    Category.CONFIGURATION,
    Weight.EXACT,
    "a crash whose log names a key that the ConfigMap had when it was last applied",
    "Put the key back into the ConfigMap.",
)
SECRET_VALUE_LOST = Reason(
    "SecretValueLost",
    Category.CONFIGURATION,
    Weight.SPECIFIC,
    "a crash whose log misses a variable, a template that ran before, and a Secret as the only other source",
    "Look whether the Secret still has the key; a person must do that.",
)
CONFIG_MAP_VALUE_CHANGED = Reason(
    "ConfigMapValueChanged",
    Category.CONFIGURATION,
    Weight.SPECIFIC,
    "a crash whose log names a key of a ConfigMap that was changed since it was last applied, or by another writer",
    "Put the value back to what it was.",
)
CONFIG_MAP_CHANGED = Reason(
    "ConfigMapChanged",
    Category.CONFIGURATION,
    Weight.LIKELY,
    "a crash after a ConfigMap that the container reads was edited",
    "Compare the ConfigMap with its source and put back what was changed.",
)

_WINDOW: Final = timedelta(hours=2)
_MISSED = re.compile(
    r"not set|unset|must be set|missing|required|undefined|not defined|KeyError|not found|no such file|unbound"
    r"|cannot find|could not find|can't (?:find|open)|does not exist|cannot open|is empty",
    re.I,
)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


def lost_variable(scene: Scene) -> Iterator[Finding]:
    """A log names what the ConfigMap has lost."""
    for trouble in scene.in_trouble(Kind.CRASH):
        found = False
        for key in _config_maps(scene, trouble):
            for lost in _lost(scene, trouble, key):
                found = True
                yield _value_lost(scene, trouble, key, lost)
        if not found and ran_before(scene.view, scene.view.workload_of(trouble.pod)):
            yield from _never_recorded(scene, trouble)


class Lost(NamedTuple):
    """A key that the log names, the line, and whether the ConfigMap surely had it."""

    name: str
    line: Quote
    known: bool


def _config_maps(scene: Scene, trouble: Trouble) -> list[ObjectKey]:
    edges = scene.topology.needs(trouble.pod, Relation.CONFIG)
    return sorted(
        {edge.target for edge in edges if scene.view.get(edge.target) and edge.target.name != "kube-root-ca.crt"}
    )


def _lost(scene: Scene, trouble: Trouble, key: ObjectKey) -> Iterator[Lost]:
    """Keys that the log names and the ConfigMap no longer has."""
    kept = mapping(scene.view.get(key), "data")
    applied = {item.path for item in scene.view.applied(key) if item.state == "removed"}
    for line in errors_said(scene, trouble):
        for name in dict.fromkeys(re.findall(r"[A-Za-z0-9._-]+", line.text)):
            if child("data", name) in applied and name not in kept:
                yield Lost(name, line, True)
                return
    words = last_words(scene, trouble)
    if words and not applied and scene.view.last_change(key, ""):
        known = ran_before(scene.view, scene.view.workload_of(trouble.pod)) and bool(_MISSED.search(words.text))
        for name in dict.fromkeys(_VARIABLE.findall(words.text)):
            if name not in kept and name not in _own_variables(scene, trouble):
                yield Lost(name, words, known)


def _never_recorded(scene: Scene, trouble: Trouble) -> Iterator[Finding]:
    """A key that the log misses, and a template that ran before: nobody recorded the removal (an object that was
    created, not applied, leaves no trace of it), but only the ConfigMap can have lost it.
    """
    places = _read_whole(scene, trouble)
    for line in errors_said(scene, trouble):
        if not _MISSED.search(line.text):
            continue
        for key, mount in places:
            names = _files_below(mount, line.text) if mount else _VARIABLE.findall(line.text)
            kept = mapping(scene.view.get(key), "data")
            missing = [name for name in names if name not in kept and name not in _own_variables(scene, trouble)]
            if missing:
                sure = len(places) == 1 and not _reads_secrets(scene, trouble)
                yield _value_lost(scene, trouble, key, Lost(missing[0], line, sure))
                return
        if not places:
            yield from _secret_lost(scene, trouble, line)
            return


def _secret_lost(scene: Scene, trouble: Trouble, line: Quote) -> Iterator[Finding]:
    """Secrets are never read; that one has lost a key can only be concluded, and with reserve."""
    secrets = [text(item, "secretRef", "name") for item in objects(scene.container(trouble), "envFrom")]
    missing = [name for name in _VARIABLE.findall(line.text) if name not in _own_variables(scene, trouble)]
    if len(secrets) == 1 and secrets[0] and missing:
        workload = scene.view.workload_of(trouble.pod)
        key = ObjectKey("v1", "Secret", trouble.pod.namespace, secrets[0])
        yield Finding(
            SECRET_VALUE_LOST,
            key,
            f"container {trouble.container} of {workload} misses {missing[0]}, which it can only have had from {key}; "
            "the template has run before",
            field=child("data", missing[0]),
            message=f"{key} seems to have lost key {missing[0]}",
            quotes=(line, trouble.quote, *scene.field_quotes(trouble.pod, _env_from(trouble.container))),
            effects=victim(trouble),
            since=trouble.since,
        )


def _env_from(container: str) -> str:
    return f"spec.containers[name={container}].envFrom"


def _read_whole(scene: Scene, trouble: Trouble) -> list[tuple[ObjectKey, str]]:
    """The ConfigMaps that the container reads whole, and where it mounts them ("" for its environment)."""
    namespace, container = trouble.pod.namespace, scene.container(trouble)
    names = [(text(item, "configMapRef", "name"), "") for item in objects(container, "envFrom")]
    volumes = {
        text(item, "name"): text(item, "configMap", "name") for item in objects(scene.spec(trouble.pod), "volumes")
    }
    names += [
        (volumes.get(text(mount, "name"), ""), text(mount, "mountPath")) for mount in objects(container, "volumeMounts")
    ]
    found = [(ObjectKey("v1", "ConfigMap", namespace, name), mount) for name, mount in names if name]
    return [(key, mount) for key, mount in found if scene.view.get(key)]


def _reads_secrets(scene: Scene, trouble: Trouble) -> bool:
    return any(mapping(item, "secretRef") for item in objects(scene.container(trouble), "envFrom"))


def _files_below(mount: str, line: str) -> list[str]:
    return [name.rstrip(".") for name in re.findall(rf"{re.escape(mount.rstrip('/'))}/([A-Za-z0-9._-]+)", line)]


def _own_variables(scene: Scene, trouble: Trouble) -> set[str]:
    return {text(item, "name") for item in objects(scene.container(trouble), "env")}


def _value_lost(scene: Scene, trouble: Trouble, key: ObjectKey, lost: Lost) -> Finding:
    change = scene.view.last_change(key, "")
    alteration = Alteration(change.time, change.manager) if change else None
    path = child("data", lost.name)
    workload = scene.view.workload_of(trouble.pod)
    verb = "lost" if lost.known else "does not have"
    return Finding(
        CONFIG_MAP_VALUE_LOST,
        key,
        f"{key} {verb} key {lost.name}, without which container {trouble.container} of {workload} ends"
        f"{scene.told(alteration)}",
        field=path,
        message=f"{key} {verb} key {lost.name}",
        quotes=(
            lost.line,
            trouble.quote,
            *scene.change_quotes(key, path),
            *((change_quote(change),) if change else ()),
        ),
        effects=victim(trouble),
        alteration=alteration,
        since=trouble.since,
        certain=lost.known,
    )


def edited_config(scene: Scene) -> Iterator[Finding]:
    """A ConfigMap was edited shortly before the container began to end."""
    for trouble in scene.in_trouble(Kind.CRASH):
        for key in _config_maps(scene, trouble) if trouble.hard else []:
            change = scene.view.last_change(key, "data")
            if change and change.time and _came_before(change.time, trouble, scene.view.now):
                yield _edited(scene, trouble, key, change)


def _edited(scene: Scene, trouble: Trouble, key: ObjectKey, change: Change) -> Finding:
    workload = scene.view.workload_of(trouble.pod)
    alteration = Alteration(change.time, change.manager)
    named = _changed_and_named(scene, trouble, key, change)
    path, words = named or ("data", last_words(scene, trouble))
    what = f"key {path.removeprefix('data').strip('.[]')} of {key} was changed" if named else f"{key} was edited"
    return Finding(
        CONFIG_MAP_VALUE_CHANGED if named else CONFIG_MAP_CHANGED,
        key,
        f"{what} before container {trouble.container} of {workload} began to end{scene.told(alteration)}",
        field=path,
        message=f"{what} before container {trouble.container} of {workload} began to end",
        quotes=(*([words] if words else []), trouble.quote, change_quote(change)),
        effects=victim(trouble),
        alteration=alteration,
        since=trouble.since,
        certain=named is not None,
    )


def _changed_and_named(scene: Scene, trouble: Trouble, key: ObjectKey, change: Change) -> tuple[str, Quote] | None:
    """A key that was changed, and the line of the log that names it."""
    applied = [item.path for item in scene.view.applied(key, "data") if item.state == "changed"]
    for path in dict.fromkeys((*applied, *(item for item in change.paths if item.startswith("data")))):
        name = path.removeprefix("data").strip(".[]")
        word = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
        line = next((said for said in errors_said(scene, trouble) if name and word.search(said.text)), None)
        if line:
            return path, line
    return None


def _came_before(time: datetime, trouble: Trouble, now: datetime) -> bool:
    return timedelta(0) <= now - time < _WINDOW and (trouble.since is None or time <= trouble.since)
