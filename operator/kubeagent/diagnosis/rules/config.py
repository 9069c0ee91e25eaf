"""ConfigMaps and Secrets that a pod needs and that are not there, or lack a key.

The kubelet says it in CreateContainerConfigError and FailedMount, in its own words, for Secrets too: we never
read one. The thing to change is the object that lost something, unless the newest revision of the workload
changed the reference to it: then that revision is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from kubeagent.diagnosis.findings import Alteration, Finding, Reason, Weight
from kubeagent.diagnosis.history import Difference, differences, has_run
from kubeagent.diagnosis.objects import child, mapping
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.scene import Scene, victim
from kubeagent.diagnosis.topology import Edge, Relation
from kubeagent.diagnosis.troubles import Kind, Trouble
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

CONFIG_MAP_KEY_MISSING = Reason(
    "ConfigMapKeyMissing",
    Category.CONFIGURATION,
    Weight.EXACT,
    "CreateContainerConfigError or FailedMount naming a key; the ConfigMap's keys; who changed it",
    "Put the key back into the ConfigMap, or correct the reference if the key was renamed on purpose.",
)
CONFIG_MAP_MISSING = Reason(
    "ConfigMapMissing",
    Category.CONFIGURATION,
    Weight.EXACT,
    "CreateContainerConfigError or FailedMount: configmap not found; whether it exists",
    "Create the ConfigMap again from its source.",
)
SECRET_MISSING = Reason(
    "SecretMissing",
    Category.CONFIGURATION,
    Weight.EXACT,
    "CreateContainerConfigError or FailedMount: secret not found (Secrets are never read)",
    "Create the Secret again from its source; a person must do that.",
)
SECRET_KEY_MISSING = Reason(
    "SecretKeyMissing",
    Category.CONFIGURATION,
    Weight.EXACT,
    "CreateContainerConfigError or FailedMount naming a key of a Secret",
    "Put the key back into the Secret; a person must do that.",
)
REFERENCE_CHANGED = Reason(
    "ConfigReferenceWrong",
    Category.CONFIGURATION,
    Weight.EXACT,
    "the newest revision changed the name or key of a reference to what does not exist",
    "Undo the revision, or correct the reference.",
)
RUNS_AS_ROOT = Reason(
    "RunAsNonRootViolated",
    Category.SECURITY,
    Weight.SPECIFIC,
    "CreateContainerConfigError: runAsNonRoot and the image's user",
    "Set runAsUser to a user that the image supports, or use an image that does not run as root.",
)

_KEY_IN_OBJECT = re.compile(r"couldn't find key (\S+) in (ConfigMap|Secret) ([^/\s]+)/([^\s,;]+)", re.I)
_NOT_FOUND = re.compile(r"\b(configmap|secret)s? \"([^\"]+)\" not found", re.I)
_MOUNTED_KEY = re.compile(r"references non-existent (config|secret) key: (\S+)", re.I)
_VOLUME = re.compile(r"volume \"([^\"]+)\"")
_RUN_AS_ROOT = re.compile(r"runAsNonRoot|run as root|non-numeric user", re.I)


def missing_key(scene: Scene) -> Iterator[Finding]:
    """A key that a container refers to is not in the ConfigMap or Secret."""
    for trouble in scene.in_trouble(Kind.CONFIG, Kind.MOUNT):
        for key, name in _missing_keys(scene, trouble):
            if key.kind == "Secret" or name not in _keys(scene, key):
                yield _key_is_missing(scene, trouble, key, name)


def _missing_keys(scene: Scene, trouble: Trouble) -> Iterator[tuple[ObjectKey, str]]:
    match = _KEY_IN_OBJECT.search(trouble.message)
    if match:
        kind = "Secret" if match.group(2).lower() == "secret" else "ConfigMap"
        yield ObjectKey("v1", kind, match.group(3), match.group(4).rstrip(".")), match.group(1)
    mounted = _MOUNTED_KEY.search(trouble.message)
    if mounted:
        relation = Relation.CONFIG if mounted.group(1).lower() == "config" else Relation.SECRET
        for edge in _mounted(scene, trouble, relation)[:1]:
            yield edge.target, mounted.group(2)


def _mounted(scene: Scene, trouble: Trouble, relation: Relation) -> list[Edge]:
    volume = _VOLUME.search(trouble.message)
    wanted = f"volumes[name={volume.group(1)}]" if volume else "volumes["
    return [edge for edge in scene.topology.needs(trouble.pod, relation) if wanted in edge.path]


def _keys(scene: Scene, key: ObjectKey) -> set[str]:
    obj = scene.view.get(key)
    return {*mapping(obj, "data"), *mapping(obj, "binaryData")}


def _key_is_missing(scene: Scene, trouble: Trouble, key: ObjectKey, name: str) -> Finding:
    wrong = _changed_reference(scene, trouble, key, name)
    if wrong:
        return _reference_changed(scene, trouble, wrong, f"key {name} of {key}, which does not exist")
    path = child("data", name)
    keys = sorted(_keys(scene, key))
    near = difflib.get_close_matches(name, keys, n=1, cutoff=0.5)
    lost = any(item.state == "removed" for item in scene.view.applied(key, path))
    alteration = scene.alteration(key, path) or _edited_later(scene, key, trouble)
    workload = scene.view.workload_of(trouble.pod)
    verb = "lost" if lost or alteration else "has no"
    hint = f"; it has {near[0]}" if near else ""
    needs = (
        f"which container {trouble.container} of {workload} needs" if trouble.container else f"which {workload} mounts"
    )
    return Finding(
        CONFIG_MAP_KEY_MISSING if key.kind == "ConfigMap" else SECRET_KEY_MISSING,
        key,
        f"{key} {verb} key {name}, {needs}{hint}{_provenance(scene, key, alteration)}",
        field=path,
        message=f"{key} {verb} key {name}{hint}",
        quotes=(trouble.quote, *_reference_quotes(scene, trouble, key), *scene.change_quotes(key, path)),
        effects=victim(trouble),
        alteration=alteration if lost or alteration else None,
        since=trouble.since,
        certain=key.kind == "Secret" or bool(scene.view.get(key)),
    )


def _edited_later(scene: Scene, key: ObjectKey, trouble: Trouble) -> Alteration | None:
    """A write to the object as a whole after it was made: a key that was removed leaves no owner behind."""
    change = scene.view.last_change(key, "")
    return Alteration(change.time, change.manager) if change else None


def _provenance(scene: Scene, key: ObjectKey, alteration: Alteration | None) -> str:
    """` (last applied by kubectl-client-side-apply; changed by kubectl-patch 4 min ago)`."""
    applied = next((item.manager for item in scene.view.changes(key) if scene.view.applied(key)), "")
    parts = [f"last applied by {applied}"] if applied and scene.view.applied(key) else []
    if alteration and alteration.time:
        by = f" by {alteration.by}" if alteration.by else ""
        parts.append(f"changed{by} {scene.view.ago(alteration.time)}")
    return f" ({'; '.join(parts)})" if parts else ""


def _reference_quotes(scene: Scene, trouble: Trouble, key: ObjectKey) -> tuple[Quote, ...]:
    edges = [edge for edge in scene.topology.needs(trouble.pod) if edge.target == key]
    found = [scene.field_quotes(trouble.pod, edge.path) for edge in edges[:2]]
    return tuple(quote for quotes in found for quote in quotes)


def _changed_reference(scene: Scene, trouble: Trouble, key: ObjectKey, name: str = "") -> Difference | None:
    """The newest revision's change of a reference into this one, unless that revision has run before, or the
    object itself lost something.
    """
    workload = scene.view.workload_of(trouble.pod)
    wanted = name or key.name
    lost = any(item.state == "removed" and name and name in item.path for item in scene.view.applied(key))
    if lost or has_run(scene.view, workload):
        return None
    found = [
        item
        for item in differences(scene.view, workload)
        if item.new == wanted and _is_reference(item.path, bool(name))
    ]
    return next((item for item in found if item.old is not None), found[0] if found and not name else None)


def _is_reference(path: str, to_key: bool) -> bool:
    named = any(mark in path.lower() for mark in ("configmap", "secret"))
    return named and path.endswith((".key", "]")) == to_key


def _reference_changed(scene: Scene, trouble: Trouble, difference: Difference, what: str) -> Finding:
    workload = scene.view.workload_of(trouble.pod)
    alteration = scene.alteration(workload, difference.path)
    before = f"before it was {difference.old}" if difference.old is not None else "before there was no such reference"
    return Finding(
        REFERENCE_CHANGED,
        workload,
        f"{workload} now refers to {what}; {before}{scene.told(alteration)}",
        field=difference.path,
        message=f"{workload} now refers to {what}; {before}",
        quotes=(trouble.quote, *difference.quotes()),
        effects=victim(trouble),
        alteration=alteration,
        since=trouble.since,
        certain=True,
    )


def missing_object(scene: Scene) -> Iterator[Finding]:
    """A ConfigMap or Secret that a pod refers to does not exist."""
    for trouble in scene.in_trouble(Kind.CONFIG, Kind.MOUNT):
        match = _NOT_FOUND.search(trouble.message)
        if not match:
            continue
        kind = "Secret" if match.group(1).lower() == "secret" else "ConfigMap"
        key = ObjectKey("v1", kind, trouble.pod.namespace, match.group(2).rpartition("/")[2])
        if not scene.view.get(key):
            wrong = _changed_reference(scene, trouble, key)
            yield (
                _reference_changed(scene, trouble, wrong, f"{key}, which does not exist")
                if wrong
                else _object_is_missing(scene, trouble, key)
            )


def _object_is_missing(scene: Scene, trouble: Trouble, key: ObjectKey) -> Finding:
    workload = scene.view.workload_of(trouble.pod)
    known_absent = key.kind == "ConfigMap" and scene.view.is_absent(key.kind, key.namespace, key.name)
    absent = (Quote("absent", key, f"{key} not found"),) if known_absent else ()
    part = f"container {trouble.container} of {workload}" if trouble.container else str(workload)
    elsewhere = sorted(
        other.namespace for other in scene.view.kind(key.kind) if other.name == key.name and other != key
    )
    hint = f"; one of that name is in namespace {elsewhere[0]}" if elsewhere else ""
    return Finding(
        SECRET_MISSING if key.kind == "Secret" else CONFIG_MAP_MISSING,
        key,
        f"{key} does not exist, and {part} needs it{hint}",
        message=f"{key} does not exist{hint}",
        quotes=(trouble.quote, *absent, *_reference_quotes(scene, trouble, key)),
        effects=victim(trouble),
        since=trouble.since,
        certain=True,
    )


def runs_as_root(scene: Scene) -> Iterator[Finding]:
    """runAsNonRoot, and an image whose user is root or has no number."""
    for trouble in scene.in_trouble(Kind.CONFIG):
        if _RUN_AS_ROOT.search(trouble.message):
            workload, path = scene.place(trouble, ".securityContext")
            alteration = scene.alteration(workload, path)
            yield Finding(
                RUNS_AS_ROOT,
                workload,
                f"{workload} demands runAsNonRoot, but the image of container {trouble.container} "
                "runs as root"
                f"{scene.told(alteration)}",
                field=path,
                quotes=(trouble.quote, *scene.change_quotes(workload, path)),
                effects=victim(trouble),
                alteration=alteration,
                since=trouble.since,
                certain=True,
            )
