"""ConfigMaps that changed under a workload that reads them whole (envFrom, volumes): the kubelet says nothing
then, only the application does, after its next restart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from kubeagent.diagnosis.findings import Alteration, Finding, Reason, Weight
from kubeagent.diagnosis.objects import child, mapping
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.rules.crashes import last_words
from kubeagent.diagnosis.scene import Scene, change_quote, victim
from kubeagent.diagnosis.topology import Relation
from kubeagent.diagnosis.troubles import Kind, Trouble
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

CONFIG_MAP_VALUE_LOST = Reason(
    "ConfigMapValueLost",
    Category.CONFIGURATION,
    Weight.EXACT,
    "a crash whose log names a key that the ConfigMap had when it was last applied",
    "Put the key back into the ConfigMap.",
)
CONFIG_MAP_CHANGED = Reason(
    "ConfigMapChanged",
    Category.CONFIGURATION,
    Weight.LIKELY,
    "a crash after a ConfigMap that the container reads was edited",
    "Compare the ConfigMap with its source and put back what was changed.",
)

_WINDOW: Final = timedelta(hours=2)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


def lost_variable(scene: Scene) -> Iterator[Finding]:
    """A log names what the ConfigMap has lost."""
    for trouble in scene.in_trouble(Kind.CRASH):
        words = last_words(scene, trouble)
        for key in _config_maps(scene, trouble):
            for name, known in _lost(scene, key, words):
                yield _value_lost(scene, trouble, key, name, words, known)


def _config_maps(scene: Scene, trouble: Trouble) -> list[ObjectKey]:
    edges = scene.topology.needs(trouble.pod, Relation.CONFIG)
    return sorted(
        {edge.target for edge in edges if scene.view.get(edge.target) and edge.target.name != "kube-root-ca.crt"}
    )


def _lost(scene: Scene, key: ObjectKey, words: Quote | None) -> Iterator[tuple[str, bool]]:
    """Names that the last words hold and the ConfigMap does not, and whether it had them once."""
    if words is None:
        return
    kept = mapping(scene.view.get(key), "data")
    applied = {item.path for item in scene.view.applied(key) if item.state == "removed"}
    for name in dict.fromkeys(re.findall(r"[A-Za-z0-9._-]+", words.text)):
        if child("data", name) in applied and name not in kept:
            yield name, True
    if not applied and scene.view.last_change(key, ""):
        for name in dict.fromkeys(_VARIABLE.findall(words.text)):
            if name not in kept:
                yield name, False


def _value_lost(scene: Scene, trouble: Trouble, key: ObjectKey, name: str, words: Quote | None, known: bool) -> Finding:
    change = scene.view.last_change(key, "")
    alteration = Alteration(change.time, change.manager) if change else None
    path = child("data", name)
    workload = scene.view.workload_of(trouble.pod)
    verb = "lost" if known else "does not have"
    return Finding(
        CONFIG_MAP_VALUE_LOST,
        key,
        f"{key} {verb} key {name}, without which container {trouble.container} of {workload} ends"
        f"{scene.told(alteration)}",
        field=path,
        quotes=(
            *([words] if words else []),
            trouble.quote,
            *scene.change_quotes(key, path),
            *((change_quote(change),) if change else ()),
        ),
        effects=victim(trouble),
        alteration=alteration,
        since=trouble.since,
        certain=known,
    )


def edited_config(scene: Scene) -> Iterator[Finding]:
    """A ConfigMap was edited shortly before the container began to end."""
    for trouble in scene.in_trouble(Kind.CRASH):
        for key in _config_maps(scene, trouble) if trouble.hard else []:
            change = scene.view.last_change(key, "data")
            if change and change.time and timedelta(0) <= scene.view.now - change.time < _WINDOW:
                workload = scene.view.workload_of(trouble.pod)
                words = last_words(scene, trouble)
                alteration = Alteration(change.time, change.manager)
                yield Finding(
                    CONFIG_MAP_CHANGED,
                    key,
                    f"{key} was edited before container {trouble.container} of {workload} began to end"
                    f"{scene.told(alteration)}",
                    field="data",
                    quotes=(*([words] if words else []), trouble.quote, change_quote(change)),
                    effects=victim(trouble),
                    alteration=alteration,
                    since=trouble.since,
                )
