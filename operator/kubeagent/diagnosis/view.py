"""The evidence, indexed for rules: objects by name and kind, owners, pods of a workload, events, logs,
changes.

It only looks up and never concludes. Everything is computed once, on first use; nothing is ever changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple, TypeVar

from kubeagent.diagnosis import selectors, workloads
from kubeagent.diagnosis.objects import (
    Object,
    dig,
    key_of,
    labels_of,
    mapping,
    moment,
    number,
    objects,
    string_map,
    text,
    uid_of,
)
from kubeagent.diagnosis.quotes import Quote
from kubeagent.protocol.evidence import Applied, Change, Evidence, PodLog
from kubeagent.resources.refs import ObjectKey

F = TypeVar("F", Change, Applied)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_OWNERS = 8
_SELECTABLE = ("Pod", "Deployment", "StatefulSet", "DaemonSet")


class Event(NamedTuple):
    """One event, in either of the two shapes that exist."""

    object: ObjectKey
    uid: str
    reason: str
    message: str
    time: datetime | None
    times: int
    field_path: str

    @property
    def container(self) -> str:
        """The container of fieldPath `spec.containers{web}`."""
        return self.field_path.partition("{")[2].rstrip("}")

    @property
    def quote(self) -> Quote:
        """Its message, word for word."""
        return Quote("event", self.object, self.message, self.time, self.field_path)


class View:
    """An immutable index over one Evidence."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.target = evidence.target
        self.now = evidence.now if evidence.now.tzinfo else evidence.now.replace(tzinfo=UTC)

    # Objects

    @cached_property
    def objects(self) -> Mapping[ObjectKey, Object]:
        """Every object but the events, by name."""
        found = {key_of(obj): obj for obj in self.evidence.objects if isinstance(obj, dict)}
        return {key: obj for key, obj in sorted(found.items()) if key.kind and key.kind != "Event"}

    @cached_property
    def _by_kind(self) -> Mapping[str, tuple[ObjectKey, ...]]:
        grouped: dict[str, list[ObjectKey]] = defaultdict(list)
        for key in self.objects:
            grouped[key.kind].append(key)
        return {kind: tuple(keys) for kind, keys in grouped.items()}

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, str, str], ObjectKey]:
        return {(key.kind, key.namespace, key.name): key for key in self.objects}

    @cached_property
    def _by_uid(self) -> Mapping[str, ObjectKey]:
        return {uid: key for key, obj in self.objects.items() if (uid := uid_of(obj))}

    def get(self, key: ObjectKey) -> Object:
        """The object, or {}; another version of its group will do."""
        found = self.objects.get(key)
        return found if found is not None else self.find(key.kind, key.namespace, key.name)

    def find(self, kind: str, namespace: str, name: str) -> Object:
        """The object of that kind and name, or {}."""
        key = self._by_name.get((kind, namespace, name))
        return self.objects[key] if key else {}

    def kind(self, kind: str, namespace: str | None = None) -> tuple[ObjectKey, ...]:
        """The names of all objects of a kind, in one namespace or in all."""
        keys = self._by_kind.get(kind, ())
        return keys if namespace is None else tuple(key for key in keys if key.namespace == namespace)

    @cached_property
    def _absent(self) -> frozenset[tuple[str, str, str]]:
        return frozenset((key.kind, key.namespace, key.name) for key in self.evidence.absent)

    def is_absent(self, kind: str, namespace: str, name: str) -> bool:
        """Whether the object was asked for and does not exist, or a complete list lacks it."""
        if (kind, namespace, name) in self._by_name:
            return False
        return (kind, namespace, name) in self._absent or self.listed(kind, namespace)

    @cached_property
    def _listings(self) -> frozenset[tuple[str, str]]:
        return frozenset(
            (item.kind, item.namespace)
            for item in self.evidence.listings
            if item.complete and not item.label_selector and not item.field_selector
        )

    def listed(self, kind: str, namespace: str = "") -> bool:
        """Whether all objects of the kind in that namespace are in the evidence."""
        return (kind, namespace) in self._listings or (kind, "") in self._listings

    # Owners

    def owner(self, key: ObjectKey) -> ObjectKey | None:
        """The controlling owner, whether or not it was read."""
        for reference in objects(self.get(key), "metadata", "ownerReferences"):
            if reference.get("controller") is True:
                known = self._by_uid.get(text(reference, "uid"))
                kind, name = text(reference, "kind"), text(reference, "name")
                return known or ObjectKey(text(reference, "apiVersion"), kind, key.namespace, name)
        return None

    def owners(self, key: ObjectKey) -> tuple[ObjectKey, ...]:
        """The controlling owners, nearest first."""
        found: list[ObjectKey] = []
        current = self.owner(key)
        while current and current not in found and current != key and len(found) < _MAX_OWNERS:
            found.append(current)
            current = self.owner(current)
        return tuple(found)

    def workload_of(self, key: ObjectKey) -> ObjectKey:
        """The topmost owner that holds the pod template: what to change so that its pods change."""
        found = key
        for owner in self.owners(key):
            if owner.kind not in workloads.RUNNERS:
                break
            found = owner
        return found

    @cached_property
    def _children(self) -> Mapping[ObjectKey, tuple[ObjectKey, ...]]:
        grouped: dict[ObjectKey, list[ObjectKey]] = defaultdict(list)
        for key in self.objects:
            owner = self.owner(key)
            if owner:
                grouped[owner].append(key)
        return {owner: tuple(keys) for owner, keys in grouped.items()}

    def children(self, key: ObjectKey, kind: str = "") -> tuple[ObjectKey, ...]:
        """What this object owns directly."""
        return tuple(child for child in self._children.get(key, ()) if not kind or child.kind == kind)

    @cached_property
    def _pods_by_workload(self) -> Mapping[ObjectKey, tuple[ObjectKey, ...]]:
        grouped: dict[ObjectKey, list[ObjectKey]] = defaultdict(list)
        for pod in self.kind("Pod"):
            for owner in self.owners(pod):
                grouped[owner].append(pod)
        return {owner: tuple(pods) for owner, pods in grouped.items()}

    def pods_of(self, key: ObjectKey) -> tuple[ObjectKey, ...]:
        """The pods below an object; a pod is its own."""
        return (key,) if key.kind == "Pod" else self._pods_by_workload.get(key, ())

    @cached_property
    def _labelled(self) -> Mapping[tuple[str, str, str], tuple[ObjectKey, ...]]:
        """Pods by their labels, and workloads by those of their templates."""
        grouped: dict[tuple[str, str, str], list[ObjectKey]] = defaultdict(list)
        for kind in _SELECTABLE:
            for key in self.kind(kind):
                for name, value in self.pod_labels(key).items():
                    grouped[key.namespace, name, value].append(key)
        return {label: tuple(keys) for label, keys in grouped.items()}

    def pod_labels(self, key: ObjectKey) -> dict[str, str]:
        """The labels of a pod, or those that a workload gives its pods."""
        obj = self.get(key)
        return labels_of(obj) if key.kind == "Pod" else selectors.template_labels(obj)

    def selected(self, service: ObjectKey) -> tuple[ObjectKey, ...]:
        """The pods, and the workloads by their templates, that a Service's selector matches."""
        selector = string_map(self.get(service), "spec", "selector")
        first = min(selector.items(), default=("", ""))
        candidates = self._labelled.get((service.namespace, *first), ())
        return tuple(key for key in candidates if selectors.equality(selector, self.pod_labels(key)))

    def pods_selected(self, service: ObjectKey) -> tuple[ObjectKey, ...]:
        """The pods that a Service's selector matches and that run or may run."""
        return tuple(
            key
            for key in self.selected(service)
            if key.kind == "Pod" and text(self.get(key), "status", "phase") not in ("Succeeded", "Failed")
        )

    # Events and logs

    @cached_property
    def all_events(self) -> tuple[Event, ...]:
        """Every event, oldest first."""
        found = [_event(obj) for obj in self.evidence.objects if isinstance(obj, dict) and text(obj, "kind") == "Event"]
        return tuple(sorted(found, key=lambda event: (event.time or EPOCH, event.object, event.reason, event.message)))

    @cached_property
    def _events(self) -> Mapping[tuple[str, str, str], tuple[Event, ...]]:
        grouped: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
        for event in self.all_events:
            grouped[event.object.kind, event.object.namespace, event.object.name].append(event)
        return {name: tuple(events) for name, events in grouped.items()}

    def events(self, key: ObjectKey, *reasons: str) -> tuple[Event, ...]:
        """The events about this very object, not an earlier one of its name, oldest first."""
        uid = uid_of(self.get(key))
        return tuple(
            event
            for event in self._events.get((key.kind, key.namespace, key.name), ())
            if (not reasons or event.reason in reasons) and (not uid or not event.uid or event.uid == uid)
        )

    @cached_property
    def _logs(self) -> Mapping[tuple[str, str, str], tuple[PodLog, ...]]:
        grouped: dict[tuple[str, str, str], list[PodLog]] = defaultdict(list)
        for log in self.evidence.logs:
            grouped[log.namespace, log.pod, log.container].append(log)
        return {name: tuple(sorted(logs, key=lambda log: not log.previous)) for name, logs in grouped.items()}

    def logs(self, pod: ObjectKey, container: str) -> tuple[PodLog, ...]:
        """The logs of one container, the previous instance first."""
        only = self._logs.get((pod.namespace, pod.name, container), ())
        return only or self._logs.get((pod.namespace, pod.name, ""), ())

    # Changes

    @cached_property
    def _changes(self) -> Mapping[ObjectKey, tuple[Change, ...]]:
        return _grouped(self.evidence.changes)

    @cached_property
    def _applied(self) -> Mapping[ObjectKey, tuple[Applied, ...]]:
        return _grouped(self.evidence.applied)

    def changes(self, key: ObjectKey) -> tuple[Change, ...]:
        """Who wrote the object (its status aside), oldest first."""
        found = [item for item in self._changes.get(key, ()) if item.subresource in ("", "scale")]
        return tuple(sorted(found, key=lambda item: (item.time or EPOCH, item.manager)))

    def applied(self, key: ObjectKey, prefix: str = "") -> tuple[Applied, ...]:
        """Fields that are no longer as they were last applied."""
        return tuple(item for item in self._applied.get(key, ()) if covers(prefix, item.path))

    def last_change(self, key: ObjectKey, prefix: str) -> Change | None:
        """The last write, after creation, by whoever owns something at or below `prefix`."""
        created = moment(self.get(key), "metadata", "creationTimestamp")
        for change in reversed(self.changes(key)):
            if change.time and created and (change.time - created).total_seconds() < 1:
                continue
            if any(covers(prefix, path) for path in change.paths):
                return change
        return None

    # Nodes and services

    def ready_endpoints(self, service: ObjectKey) -> int | None:
        """How many ready endpoints a Service has; None if that was not read."""
        slices = [
            obj
            for key in self.kind("EndpointSlice", service.namespace)
            if labels_of(obj := self.objects[key]).get("kubernetes.io/service-name") == service.name
        ]
        if not slices:
            return 0 if self._asked_for_slices(service) else None
        return sum(
            dig(endpoint, "conditions", "ready") is not False
            for piece in slices
            for endpoint in objects(piece, "endpoints")
        )

    def _asked_for_slices(self, service: ObjectKey) -> bool:
        wanted = {"", f"kubernetes.io/service-name={service.name}"}
        return any(
            item.kind == "EndpointSlice"
            and item.complete
            and item.namespace in ("", service.namespace)
            and item.label_selector in wanted
            for item in self.evidence.listings
        )

    def age(self, key: ObjectKey) -> float:
        """Seconds since creation; 0 if unknown."""
        created = moment(self.get(key), "metadata", "creationTimestamp")
        return max(0.0, (self.now - created).total_seconds()) if created else 0.0

    def ago(self, time: datetime | None) -> str:
        """`4 min ago`."""
        if time is None:
            return ""
        seconds = int((self.now - time).total_seconds())
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
            if seconds >= size:
                return f"{seconds // size} {unit} ago"
        return f"{max(0, seconds)} s ago"


def covers(prefix: str, path: str) -> bool:
    """Whether `path` is at, below or above `prefix`."""
    if not prefix or path == prefix:
        return True
    longer, shorter = (path, prefix) if len(path) > len(prefix) else (prefix, path)
    return longer.startswith(shorter) and longer[len(shorter)] in ".["


def _event(obj: Object) -> Event:
    about = mapping(obj, "involvedObject") or mapping(obj, "regarding")
    key = ObjectKey(text(about, "apiVersion"), text(about, "kind"), text(about, "namespace"), text(about, "name"))
    times = (
        moment(obj, "series", "lastObservedTime"),
        moment(obj, "lastTimestamp"),
        moment(obj, "deprecatedLastTimestamp"),
        moment(obj, "eventTime"),
        moment(obj, "metadata", "creationTimestamp"),
    )
    return Event(
        object=key,
        uid=text(about, "uid"),
        reason=text(obj, "reason"),
        message=text(obj, "message") or text(obj, "note"),
        time=next((time for time in times if time), None),
        times=max(number(obj, "series", "count"), number(obj, "count"), number(obj, "deprecatedCount"), 1),
        field_path=text(about, "fieldPath"),
    )


def _grouped(facts: Iterable[F]) -> Mapping[ObjectKey, tuple[F, ...]]:
    grouped: dict[ObjectKey, list[F]] = defaultdict(list)
    for fact in facts:
        grouped[fact.object].append(fact)
    return {key: tuple(items) for key, items in grouped.items()}
