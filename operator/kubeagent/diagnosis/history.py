"""Revisions of a workload: what its pod template was before, and in which revision a field changed.

ReplicaSets (for a Deployment) and ControllerRevisions (for StatefulSet and DaemonSet) keep the old templates.
That is the best witness of "it worked before": the old value, the new one, and when, none of it a guess.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubeagent.diagnosis import workloads
from kubeagent.diagnosis.objects import Object, flag, leaves, mapping, moment, number, text
from kubeagent.diagnosis.quotes import Quote, shown
from kubeagent.diagnosis.view import View, covers
from kubeagent.resources.refs import ObjectKey

REVISION = "deployment.kubernetes.io/revision"
_GENERATED = ("metadata.labels.pod-template-hash", "metadata.labels.controller-revision-hash")


@dataclass(frozen=True)
class Revision:
    """One template that a workload had, in the object that keeps it."""

    number: int
    key: ObjectKey
    created: datetime | None
    template: Object
    prefix: str
    """Where the template stands in that object."""

    @property
    def fields(self) -> dict[str, Any]:
        """The template as field paths, without what the controller adds."""
        found = dict(leaves({"spec": mapping(self.template, "spec"), "metadata": mapping(self.template, "metadata")}))
        return {path: value for path, value in found.items() if path not in _GENERATED}


@dataclass(frozen=True)
class Difference:
    """One field of the template that a revision changed. `path` is that of the workload object."""

    path: str
    old: Any
    new: Any
    revision: Revision
    previous: Revision
    time: datetime | None

    def quotes(self) -> tuple[Quote, ...]:
        """The old and the new value, each in the object that holds it."""
        inner = self.path.removeprefix("spec.template.")
        return tuple(
            Quote("field", side.key, f"{path}: {shown(value)}", side.created, path)
            for side, value in ((self.previous, self.old), (self.revision, self.new))
            if value is not None
            for path in (f"{side.prefix}.{inner}",)
        )


def revisions(view: View, workload: ObjectKey) -> tuple[Revision, ...]:
    """The templates that are kept, newest first."""
    found = [*_replica_sets(view, workload), *_controller_revisions(view, workload)]
    return tuple(sorted(found, key=lambda item: (-item.number, item.key)))


def _replica_sets(view: View, workload: ObjectKey) -> Iterator[Revision]:
    for key in view.children(workload, "ReplicaSet"):
        obj = view.get(key)
        annotated = text(obj, "metadata", "annotations", REVISION)
        revision = int(annotated) if annotated.isascii() and annotated.isdigit() and len(annotated) < 12 else 0
        created = moment(obj, "metadata", "creationTimestamp")
        yield Revision(revision, key, created, workloads.template(obj), "spec.template")


def _controller_revisions(view: View, workload: ObjectKey) -> Iterator[Revision]:
    for key in view.children(workload, "ControllerRevision"):
        obj = view.get(key)
        kept = mapping(obj, "data", "spec", "template")
        created = moment(obj, "metadata", "creationTimestamp")
        yield Revision(number(obj, "revision"), key, created, kept, "data.spec.template")


def differences(view: View, workload: ObjectKey) -> tuple[Difference, ...]:
    """What the newest revision changed against the one before it."""
    kept = revisions(view, workload)
    return tuple(_between(view, workload, kept[0], kept[1])) if len(kept) > 1 else ()


def last_difference(
    view: View, workload: ObjectKey, path: str, accept: Callable[[Difference], bool] = lambda _: True
) -> Difference | None:
    """The newest revision that changed something at or below `path` (of the workload), and how."""
    kept = revisions(view, workload)
    for newer, older in itertools.pairwise(kept):
        for difference in _between(view, workload, newer, older):
            if covers(path, difference.path) and accept(difference):
                return difference
    return None


def _between(view: View, workload: ObjectKey, newer: Revision, older: Revision) -> Iterator[Difference]:
    now, was = newer.fields, older.fields
    time = _rolled_out(view, workload, newer)
    for path in sorted(now.keys() | was.keys()):
        old, new = was.get(path), now.get(path)
        if old != new:
            yield Difference(f"spec.template.{path}", old, new, newer, older, time)


def _rolled_out(view: View, workload: ObjectKey, revision: Revision) -> datetime | None:
    """When the revision became the newest; an old ReplicaSet that is used again is older than that."""
    change = view.last_change(workload, "spec.template")
    times = [time for time in (revision.created, change.time if change else None) if time]
    return max(times, default=None)


def is_superseded(view: View, pod: ObjectKey) -> bool:
    """Whether a rollout is replacing this pod: its ReplicaSet is not the newest."""
    owners = view.owners(pod)
    if len(owners) < 2 or owners[0].kind != "ReplicaSet" or owners[1].kind != "Deployment":
        return False
    deployment = view.get(owners[1])
    kept = _replica_sets(view, owners[1])
    newest = max(kept, key=lambda item: (item.number, item.key), default=None)
    paused = flag(deployment, "spec", "paused")
    return newest is not None and newest.number > 0 and newest.key != owners[0] and not paused
