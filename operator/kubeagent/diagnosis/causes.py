"""From findings to root causes: a finding explains another if what it brings about includes what the other
shows.

States spread along topology: a container that is down takes its pod down, a pod its workload, all pods of a
Service the Service, a claim or a node the pods that use it. A finding A explains B if B shows a state that
A's effects spread to, or if B says it is because of one. Findings that explain each other (two services that
each miss the other) are taken as one, told by the most precise of them; what nothing outside explains is a
root. There are no cycles then, on any input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from kubeagent.diagnosis import services, workloads
from kubeagent.diagnosis.findings import Alteration, Finding, State, Weight
from kubeagent.diagnosis.objects import text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.topology import Relation
from kubeagent.resources.refs import ObjectKey

MAX_FINDINGS: Final = 600
_RECENT: Final = timedelta(hours=24)
_AFTER: Final = timedelta(minutes=2)


@dataclass(frozen=True)
class Cause:
    """A root: its finding, everything it explains, and the states that it accounts for."""

    finding: Finding
    explains: tuple[Finding, ...]
    accounts: frozenset[State]
    changed: bool


class Graph:
    """Which finding explains which."""

    def __init__(self, scene: Scene, findings: Iterable[Finding]) -> None:
        self._spread = _spreading(scene)
        self._scene = scene
        self.findings = _merged(findings)[:MAX_FINDINGS]
        self._reached = [self.spread(finding.effects) for finding in self.findings]
        self._explains = self._edges()
        self._below = [self._reachable(index) for index in range(len(self.findings))]

    def spread(self, effects: Iterable[State]) -> frozenset[State]:
        """All states that follow from these."""
        found = set(effects)
        stack = list(found)
        while stack:
            for following in self._spread.get(stack.pop(), ()):
                if following not in found:
                    found.add(following)
                    stack.append(following)
        return frozenset(found)

    def roots(self) -> tuple[Cause, ...]:
        """What nothing else explains, best first; findings that explain each other count as one."""
        causes = [self._cause(group) for group in self._groups() if self._is_root(group)]
        return tuple(sorted(causes, key=rank))

    def explained(self) -> Mapping[tuple[str, ObjectKey, str], tuple[Finding, ...]]:
        """For each finding, by identity, what explains it directly."""
        found: dict[tuple[str, ObjectKey, str], list[Finding]] = defaultdict(list)
        for index, below in enumerate(self._explains):
            for other in sorted(below):
                found[self.findings[other].identity].append(self.findings[index])
        return {identity: tuple(items) for identity, items in found.items()}

    def _edges(self) -> list[frozenset[int]]:
        by_state: dict[State, list[int]] = defaultdict(list)
        for index, finding in enumerate(self.findings):
            for state in shown(finding) | finding.because:
                by_state[state].append(index)
        return [
            frozenset(other for state in reached for other in by_state.get(state, ()) if other != index)
            for index, reached in enumerate(self._reached)
        ]

    def _reachable(self, start: int) -> frozenset[int]:
        found: set[int] = set()
        stack = [start]
        while stack:
            for other in self._explains[stack.pop()]:
                if other not in found:
                    found.add(other)
                    stack.append(other)
        return frozenset(found)

    def _groups(self) -> Iterator[tuple[int, ...]]:
        """The findings that explain each other, and every other finding by itself."""
        seen: set[int] = set()
        for index, below in enumerate(self._below):
            if index not in seen:
                group = (
                    index,
                    *sorted(other for other in below if other != index and index in self._below[other]),
                )
                seen.update(group)
                yield group

    def _is_root(self, group: Sequence[int]) -> bool:
        inside = set(group)
        return not any(index not in inside and below & inside for index, below in enumerate(self._explains))

    def _cause(self, group: Sequence[int]) -> Cause:
        chosen = min(group, key=lambda index: (-self.findings[index].reason.weight, _order(self.findings[index])))
        below = sorted(({*self._below[chosen], *group}) - {chosen})
        explains = tuple(self.findings[index] for index in below)
        finding = self.findings[chosen]
        direct = [self.findings[index] for index in {chosen, *group, *self._explains[chosen]}]
        accounts = frozenset(state for item in direct for state in (*item.effects, *shown(item)))
        return Cause(finding, explains, accounts | self._reached[chosen], changed_before(self._scene, finding))


def shown(finding: Finding) -> frozenset[State]:
    """What a finding leaves to be explained; an imprecise one leaves what it brings about."""
    return finding.shows or (finding.effects if finding.reason.weight <= Weight.LIKELY else frozenset())


def changed_before(scene: Scene, finding: Finding) -> bool:
    """Whether the faulty thing was changed lately, and not after the symptom began."""
    time = finding.alteration.time if finding.alteration else None
    if time is None or not timedelta(minutes=-1) <= scene.view.now - time <= _RECENT:
        return False
    return finding.since is None or time <= finding.since + _AFTER


def rank(cause: Cause) -> tuple[object, ...]:
    """The order of roots: what changed, then what is precise, then what is certain."""
    finding = cause.finding
    return (
        not cause.changed,
        -finding.reason.weight,
        not finding.certain,
        -len(cause.explains),
        _order(finding),
    )


def _order(finding: Finding) -> tuple[str, ...]:
    key = finding.object
    return finding.reason.code, key.kind, key.namespace, key.name, finding.field, key.api_version


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per identity, in a fixed order: a fault with twelve victims is one fault."""
    grouped: dict[tuple[str, ObjectKey, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        grouped[finding.identity].append(finding)
    merged = [_merge(items) for items in grouped.values()]
    return sorted(merged, key=lambda finding: (-finding.reason.weight, _order(finding)))


def _merge(items: list[Finding]) -> Finding:
    ordered = sorted(items, key=lambda item: (not item.certain, item.summary))
    first = ordered[0]
    if len(ordered) == 1:
        return first
    times = [item.since for item in ordered if item.since]
    alterations = [item.alteration for item in ordered if item.alteration]
    return replace(
        first,
        quotes=tuple(_interleaved([item.quotes for item in ordered])),
        shows=frozenset().union(*(item.shows for item in ordered)),
        effects=frozenset().union(*(item.effects for item in ordered)),
        because=frozenset().union(*(item.because for item in ordered)),
        alteration=_latest(alterations),
        since=min(times, default=None),
        certain=any(item.certain for item in ordered),
    )


def _interleaved(quotes: Sequence[tuple[Quote, ...]]) -> Iterator[Quote]:
    """All of the first victim's quotes, then what others add."""
    yield from dict.fromkeys(quote for part in quotes for quote in part)


def _latest(alterations: Sequence[Alteration]) -> Alteration | None:
    known = [item for item in alterations if item.time]
    return max(known, key=lambda item: (item.time, item.by, item.what)) if known else next(iter(alterations), None)


def _spreading(scene: Scene) -> Mapping[State, tuple[State, ...]]:
    """Which state follows from which."""
    found: dict[State, set[State]] = defaultdict(set)
    for cause, effect in (*_from_pods(scene), *_from_edges(scene)):
        found[cause].add(effect)
    return {state: tuple(sorted(effects)) for state, effects in found.items()}


def _from_pods(scene: Scene) -> Iterator[tuple[State, State]]:
    for trouble in scene.troubles:
        if trouble.container:
            yield State(trouble.pod, trouble.container), State(trouble.pod)
    for finding in scene.grievances:
        yield State(finding.pod, finding.container), State(finding.pod)
    for pod in scene.view.kind("Pod"):
        for container in workloads.containers(scene.spec(pod)):
            yield State(pod, text(container, "name")), State(pod)


def _from_edges(scene: Scene) -> Iterator[tuple[State, State]]:
    for edge in scene.topology.edges:
        match edge.relation:
            case Relation.OWNER:
                yield State(edge.source), State(edge.target)
            case Relation.SELECTS if services.has_no_endpoints(scene.view, edge.source):
                yield State(edge.target), State(edge.source)
            case Relation.BACKEND:
                yield State(edge.target), State(edge.source)
            case Relation.NODE if edge.source.kind == "Pod":
                yield State(edge.target), State(edge.source)
            case Relation.CLAIM if edge.source.kind == "Pod":
                yield State(edge.target), State(edge.source)
            case _:
                pass
