"""What every rule is given: the view, the topology and the troubles, and the questions that many rules ask of
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property

from kubeagent.diagnosis import history, workloads
from kubeagent.diagnosis.findings import Alteration, State
from kubeagent.diagnosis.history import Difference
from kubeagent.diagnosis.objects import Object, lookup, mapping, moment
from kubeagent.diagnosis.quotes import Quote, field
from kubeagent.diagnosis.services import Grievance, grievances
from kubeagent.diagnosis.topology import Topology, topology
from kubeagent.diagnosis.troubles import Kind, Trouble, troubles
from kubeagent.diagnosis.view import View, covers
from kubeagent.protocol.evidence import Change, Evidence
from kubeagent.resources.base import to_rfc3339
from kubeagent.resources.refs import ObjectKey

_SAME_WRITE = 2.0
"""Seconds between a write and the revision that a controller makes of it."""


class Scene:
    """One piece of evidence, ready to be judged."""

    def __init__(self, evidence: Evidence) -> None:
        self.view = View(evidence)

    @cached_property
    def topology(self) -> Topology:
        """The edges."""
        return topology(self.view)

    @cached_property
    def troubles(self) -> tuple[Trouble, ...]:
        """Every pod's troubles."""
        return tuple(troubles(self.view))

    @cached_property
    def grievances(self) -> tuple[Grievance, ...]:
        """Whom pods say they cannot reach."""
        return tuple(item for pod in self.view.kind("Pod") for item in grievances(self.view, pod))

    def in_trouble(self, *kinds: Kind) -> Iterator[Trouble]:
        """The troubles of these kinds."""
        return (trouble for trouble in self.troubles if trouble.kind in kinds)

    def place(self, trouble: Trouble, suffix: str = "") -> tuple[ObjectKey, str]:
        """The workload, and in it the field path of the container (or the pod spec) in trouble."""
        workload = self.view.workload_of(trouble.pod)
        if not trouble.container:
            return workload, workloads.template_path(workload.kind) + suffix
        spec = workloads.pod_spec(self.view.get(workload)) or workloads.pod_spec(self.view.get(trouble.pod))
        return workload, workloads.container_path(workload.kind, spec, trouble.container) + suffix

    def container(self, trouble: Trouble) -> Object:
        """The container in trouble, as its pod has it."""
        return workloads.container_named(workloads.pod_spec(self.view.get(trouble.pod)), trouble.container)

    def difference(self, workload: ObjectKey, path: str) -> Difference | None:
        """The revision that last changed something there."""
        return history.last_difference(self.view, workload, path)

    def alteration(self, key: ObjectKey, path: str) -> Alteration | None:
        """When and by whom a field was last changed, from the revisions or from managedFields."""
        change = self.view.last_change(key, path)
        difference = self.difference(key, path)
        if difference:
            by = change.manager if change else self._who_wrote_at(key, difference.revision.created)
            return Alteration(difference.time, by, difference.revision.name)
        return Alteration(change.time, change.manager) if change else None

    def _who_wrote_at(self, key: ObjectKey, time: datetime | None) -> str:
        """Who wrote the spec when a revision came: a field that is removed leaves no owner behind."""
        near = [
            item.manager
            for item in self.view.changes(key)
            if item.time
            and time
            and abs((item.time - time).total_seconds()) <= _SAME_WRITE
            and any(covers("spec", path) for path in item.paths)
        ]
        return near[0] if len(near) == 1 else ""

    def change_quotes(self, key: ObjectKey, path: str) -> tuple[Quote, ...]:
        """Witnesses of a change: revisions, managedFields, last-applied."""
        difference = self.difference(key, path)
        change = self.view.last_change(key, path)
        found = list(difference.quotes()) if difference else []
        if change:
            found.append(change_quote(change))
        found += [
            Quote("last-applied", key, f"{item.path}: {item.state}", None, item.path)
            for item in self.view.applied(key, path)[:3]
        ]
        return tuple(found)

    def field_quotes(self, key: ObjectKey, path: str) -> tuple[Quote, ...]:
        """The field as it is now, if it is there."""
        obj = self.view.get(key)
        return (
            (field(obj, path, moment(obj, "metadata", "creationTimestamp")),) if lookup(obj, path) is not None else ()
        )

    def told(self, alteration: Alteration | None) -> str:
        """` (changed by kubectl-patch in revision 3, 4 min ago)`, or nothing."""
        if alteration is None or alteration.time is None:
            return ""
        by = f" by {alteration.by}" if alteration.by else ""
        what = f" in {alteration.what}," if alteration.what else ""
        return f" (changed{by}{what} {self.view.ago(alteration.time)})"

    def spec(self, key: ObjectKey) -> Object:
        """The pod spec of an object."""
        return workloads.pod_spec(self.view.get(key))

    def replicas(self, key: ObjectKey) -> int:
        """How many pods a workload should have."""
        spec = mapping(self.view.get(key), "spec")
        value = spec.get("replicas", 1)
        return value if isinstance(value, int) and not isinstance(value, bool) else 1


def change_quote(change: Change) -> Quote:
    """Manager, operation and time, as they stand in managedFields."""
    when = to_rfc3339(change.time) if change.time else ""
    return Quote("managedFields", change.object, f"{change.manager} {change.operation} {when}".strip(), change.time)


def victim(trouble: Trouble) -> frozenset[State]:
    """The state of what is in trouble."""
    return frozenset({State(trouble.pod, trouble.container)})
