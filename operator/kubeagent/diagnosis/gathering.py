"""What to read next: a sans-io planner that the edge agent and the CLI drive alike.

    gathering = Gathering(target, namespaces=None)
    while reads := gathering.wanted():
        ...                       # perform them in parallel; say found, missing or refused for each
    evidence = gathering.evidence(now)

Each round looks at all that is known so far and asks what is still missing (`STEPS`), so there is no state
machine to get stuck in: reads that were answered are not asked again, and when nothing new is wanted it is
done. Secrets are never asked for; what is missing there is told by the kubelet's own words.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from kubeagent.diagnosis import facts
from kubeagent.diagnosis.neighbourhood import SWEEPS, reach
from kubeagent.diagnosis.objects import Object, key_of, mapping, text
from kubeagent.diagnosis.steps import STEPS, Bounds, Situation
from kubeagent.diagnosis.topology import topology
from kubeagent.diagnosis.view import EPOCH, View
from kubeagent.protocol.evidence import Applied, Change, Evidence, Listing, PodLog, Refusal
from kubeagent.protocol.kinds import by_kind
from kubeagent.protocol.reads import Get, List, Log, Read
from kubeagent.resources.refs import ObjectKey

MAX_REFUSALS = 50
_NEVER_READ = ("Secret",)


class Gathering:
    """Collects the evidence for one target. `namespaces` are those it may look into; None means all."""

    def __init__(
        self, target: ObjectKey, *, namespaces: frozenset[str] | None = None, bounds: Bounds | None = None
    ) -> None:
        self.target = _as_served(target)
        self.bounds = bounds or Bounds()
        self._namespaces = namespaces
        self._open: dict[Read, None] = {}
        self._asked: set[Read] = set()
        self._objects: dict[ObjectKey, Object] = {}
        self._changes: dict[ObjectKey, tuple[Change, ...]] = {}
        self._applied: dict[ObjectKey, tuple[Applied, ...]] = {}
        self._logs: list[PodLog] = []
        self._absent: dict[ObjectKey, None] = {}
        self._listings: list[Listing] = []
        self._refusals: dict[ObjectKey, Refusal] = {}
        self._bytes = 0
        self._rounds = 0

    def wanted(self) -> tuple[Read, ...]:
        """The reads to perform now, in parallel; empty when nothing more is needed or a bound is reached."""
        if self._open:
            return tuple(self._open)
        if self._rounds >= self.bounds.rounds:
            self._stop("rounds")
            return ()
        self._rounds += 1
        for read in self._missing():
            if len(self._asked) >= self.bounds.reads:
                self._stop("reads")
                break
            self._asked.add(read)
            if self._may_read(read):
                self._open[read] = None
        return tuple(self._open)

    def found(self, read: Read, answer: Sequence[Object] | Object | str, complete: bool = True) -> None:
        """The answer to a read: an object, the objects of a list, or the text of a log."""
        self._open.pop(read, None)
        if isinstance(read, Log):
            if isinstance(answer, str) and answer:
                self._keep_log(read, answer)
            return
        if isinstance(answer, str):
            return
        for obj in [answer] if isinstance(answer, dict) else answer:
            complete = self._keep(read, obj) and complete
        if isinstance(read, List):
            self._listings.append(
                Listing(
                    api_version=read.api_version,
                    kind=read.kind,
                    namespace=read.namespace,
                    label_selector=read.label_selector,
                    field_selector=read.field_selector,
                    complete=complete,
                )
            )

    def missing(self, read: Read) -> None:
        """The object (or the log) does not exist."""
        self._open.pop(read, None)
        if isinstance(read, Get):
            self._absent[read.key] = None

    def refused(self, read: Read, reason: str, message: str = "") -> None:
        """The read was not allowed or not possible."""
        self._open.pop(read, None)
        if not (isinstance(read, Log) and reason == "Unavailable"):  # 400: the container has none yet
            self._refuse(_subject(read), reason, message)

    def evidence(
        self, now: datetime, *, cluster_id: str = "", cluster_uid: str = "", kubernetes_version: str = ""
    ) -> Evidence:
        """Everything that was found, in an order that does not depend on that of the answers."""
        objects = [self._objects[name] for name in sorted(self._objects)]
        return Evidence(
            target=self.target,
            now=now,
            cluster_id=cluster_id,
            cluster_uid=cluster_uid,
            kubernetes_version=kubernetes_version,
            objects=tuple(obj for obj in objects if self._is_of_interest(obj)),
            changes=tuple(change for key in sorted(self._changes) for change in self._changes[key]),
            applied=tuple(item for key in sorted(self._applied) for item in self._applied[key]),
            logs=tuple(sorted(self._logs, key=lambda log: (log.namespace, log.pod, log.container, not log.previous))),
            absent=tuple(sorted(self._absent)),
            listings=tuple(sorted(self._listings, key=msgspec.json.encode)),
            unreadable=tuple(self._refusals[key] for key in sorted(self._refusals)),
            closest_names=self._closest_names(),
            reads=len(self._asked),
        )

    # What is still missing

    def _missing(self) -> list[Read]:
        view = View(self._known(EPOCH))
        edges = topology(view)
        situation = Situation(view, edges, reach(view, edges, self.bounds.hops), self.bounds)
        wanted = dict.fromkeys(read for step in STEPS for read in step(situation))
        return [read for read in wanted if read not in self._asked and not self._is_known(read)]

    def _known(self, now: datetime) -> Evidence:
        return Evidence(
            target=self.target,
            now=now,
            objects=tuple(self._objects.values()),
            changes=tuple(item for items in self._changes.values() for item in items),
            applied=tuple(item for items in self._applied.values() for item in items),
            logs=tuple(self._logs),
            absent=tuple(self._absent),
            listings=tuple(self._listings),
        )

    def _is_known(self, read: Read) -> bool:
        return isinstance(read, Get) and (read.key in self._changes or read.key in self._absent)

    def _may_read(self, read: Read) -> bool:
        subject = _subject(read)
        if subject.kind in _NEVER_READ:
            return False
        row = by_kind(subject.kind, subject.api_version)
        namespaced = row.namespaced if row else bool(subject.namespace)
        if self._namespaces is None or not namespaced or subject.namespace in self._namespaces:
            return True
        if not _is_optional(read):
            self._refuse(subject, "OutOfScope", f"namespace {subject.namespace or '(all)'} is outside the allowed ones")
        return False

    # What was found

    def _keep(self, read: Read, obj: Any) -> bool:
        if not isinstance(obj, dict) or text(obj, "kind") in _NEVER_READ:
            return True
        obj = _named_as_asked(read, obj)
        key = key_of(obj)
        if key.kind in _NEVER_READ:
            return True
        clean, changes, applied = facts.extract(obj)
        size = len(msgspec.json.encode(clean)) if key not in self._objects else 0
        if len(self._objects) >= self.bounds.objects or self._bytes + size > self.bounds.bytes:
            self._stop("size")
            return False
        self._bytes += size
        self._objects[key] = clean
        self._absent.pop(key, None)
        if key.kind != "Event":
            self._changes[key], self._applied[key] = changes, applied
        return True

    def _keep_log(self, read: Log, answer: str) -> None:
        room = max(0, self.bounds.bytes - self._bytes)
        kept = _last_lines(answer, min(self.bounds.log_bytes, room))
        self._bytes += len(kept)
        self._logs.append(
            PodLog(
                namespace=read.namespace,
                pod=read.pod,
                container=read.container,
                previous=read.previous,
                text=kept,
                truncated=len(kept) < len(answer),
            )
        )

    def _refuse(self, subject: ObjectKey, reason: str, message: str) -> None:
        if len(self._refusals) < MAX_REFUSALS:
            self._refusals.setdefault(subject, Refusal(object=subject, reason=reason, message=message[:1024]))

    def _stop(self, bound: str) -> None:
        self._refuse(self.target, "LimitReached", f"the bound on {bound} was reached; what lies further was not read")

    # What is handed on

    def _is_of_interest(self, obj: Object) -> bool:
        """A namespace's events are many; only those of objects that were read are evidence."""
        if text(obj, "kind") != "Event" or self.target.kind in SWEEPS:
            return True
        about = mapping(obj, "involvedObject")
        name = (text(about, "kind"), text(about, "namespace"), text(about, "name"))
        return name in {(key.kind, key.namespace, key.name) for key in (*self._changes, self.target)}

    def _closest_names(self) -> tuple[str, ...]:
        if self.target not in self._absent:
            return ()
        names = sorted(
            {
                key.name
                for key in self._changes
                if (key.kind, key.namespace) == (self.target.kind, self.target.namespace)
            }
        )
        return tuple(difflib.get_close_matches(self.target.name, names, n=3, cutoff=0.5))


def _as_served(target: ObjectKey) -> ObjectKey:
    """The target under the apiVersion that we read, with a namespace only if its kind has one."""
    row = by_kind(target.kind, target.api_version)
    if row is None:
        return target
    return ObjectKey(row.api_version, target.kind, target.namespace if row.namespaced else "", target.name)


def _subject(read: Read) -> ObjectKey:
    match read:
        case Get(key=key):
            return key
        case Log(namespace=namespace, pod=pod):
            return ObjectKey("v1", "Pod", namespace, pod)
        case List(api_version=api_version, kind=kind, namespace=namespace):
            return ObjectKey(api_version, kind, namespace, "")


def _is_optional(read: Read) -> bool:
    """A list that only might have told more, such as the Services of all namespaces with some IP address."""
    return isinstance(read, List) and bool(read.field_selector)


def _named_as_asked(read: Read, obj: Object) -> Object:
    """Items of a list come without apiVersion and kind from the API server."""
    match read:
        case Get(key=key):
            named = {"apiVersion": key.api_version, "kind": key.kind}
        case List(api_version=api_version, kind=kind):
            named = {"apiVersion": api_version, "kind": kind}
        case Log():
            named = {}
    return obj if text(obj, "kind") and text(obj, "apiVersion") else named | obj


def _last_lines(text: str, room: int) -> str:
    """The end of a text from the start of a line: half a line could hold half a secret, which no redactor knows."""
    if len(text) <= room:
        return text
    end = text[len(text) - room :]
    return end.partition("\n")[2]
