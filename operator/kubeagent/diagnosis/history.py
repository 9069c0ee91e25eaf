"""Revisions of a workload: what its pod template was before, and in which revision a field changed.

ReplicaSets (for a Deployment), ControllerRevisions (for StatefulSet and DaemonSet) and Jobs (for a CronJob) keep
the old templates.
That is the best witness of "it worked before": the old value, the new one, and when, none of it a guess.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubeagent.diagnosis import workloads
from kubeagent.diagnosis.objects import Object, flag, leaves, mapping, moment, number, objects, text
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
    def name(self) -> str:
        """`revision 3`; a CronJob has no revisions, only Jobs that keep the template of their time."""
        return "" if self.key.kind == "Job" else f"revision {self.number}"

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
        inner = self.path.partition("template.")[2]
        return tuple(
            Quote("field", side.key, f"{path}: {shown(value)}", side.created, path)
            for side, value in ((self.previous, self.old), (self.revision, self.new))
            if value is not None
            for path in (f"{side.prefix}.{inner}",)
        )


def revisions(view: View, workload: ObjectKey) -> tuple[Revision, ...]:
    """The templates that are kept, newest first."""
    found = [*_replica_sets(view, workload), *_controller_revisions(view, workload), *_jobs(view, workload)]
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


def _jobs(view: View, workload: ObjectKey) -> Iterator[Revision]:
    """The runs of a CronJob, oldest first: each keeps the template that the CronJob had."""
    made = sorted(view.children(workload, "Job"), key=lambda key: (-view.age(key), key))
    last: Object = {}
    for place, key in enumerate(made if workload.kind == "CronJob" else (), start=1):
        obj = view.get(key)
        template = _as_given(obj)
        if template != last:
            yield Revision(place, key, moment(obj, "metadata", "creationTimestamp"), template, "spec.template")
        last = template


def _as_given(job: Object) -> Object:
    """The template of a Job without the labels that its controller adds."""
    kept = mapping(job, "spec", "template")
    return {"spec": mapping(kept, "spec")}


def has_run(view: View, workload: ObjectKey) -> bool:
    """Whether a rollout of the current template was completed: what breaks it now is then not the template."""
    obj = view.get(workload)
    if number(obj, "status", "observedGeneration") < number(obj, "metadata", "generation"):
        return False
    if workload.kind == "StatefulSet":
        current = text(obj, "status", "currentRevision")
        return bool(current) and current == text(obj, "status", "updateRevision")
    return any(
        text(item, "type") == "Progressing" and text(item, "reason") == "NewReplicaSetAvailable"
        for item in objects(obj, "status", "conditions")
    )


def ran_before(view: View, workload: ObjectKey) -> bool:
    """Whether this very template, annotations aside, has run before: what broke it is then outside of it."""
    kept = revisions(view, workload)
    changed = [item for item in differences(view, workload) if ".annotations" not in item.path]
    return has_run(view, workload) or (len(kept) > 1 and not changed)


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
    prefix = "spec.jobTemplate.spec.template" if workload.kind == "CronJob" else "spec.template"
    for path in sorted(now.keys() | was.keys()):
        old, new = was.get(path), now.get(path)
        if old != new:
            yield Difference(f"{prefix}.{path}", old, new, newer, older, time)


def _rolled_out(view: View, workload: ObjectKey, revision: Revision) -> datetime | None:
    """When the revision became the newest; an old ReplicaSet that is used again is older than that."""
    change = view.last_change(workload, "spec.jobTemplate" if workload.kind == "CronJob" else "spec.template")
    times = [time for time in (revision.created, change.time if change else None) if time]
    return max(times, default=None)


def is_past_run(view: View, job: ObjectKey) -> bool:
    """Whether a later run of the same CronJob went well, so that what became of this one is history."""
    owner = view.owner(job)
    return owner is not None and any(
        view.age(other) < view.age(job) and number(view.get(other), "status", "succeeded") > 0
        for other in view.children(owner, "Job")
    )


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
