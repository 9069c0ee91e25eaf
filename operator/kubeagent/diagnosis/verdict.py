"""The judgement: evidence in, verdict out; the same evidence gives the same bytes.

A root cause, or no fault, or undetermined with what is missing. Confidence is no feeling: it is what
corroborates the cause (how precise it is, whether fields prove it, whether it changed before the symptom,
whether the symptom is quoted) less what could not be read. The bounds of resources/verdict.py are kept here,
whatever the evidence holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from kubeagent.diagnosis.causes import Cause, Graph
from kubeagent.diagnosis.chain import links, path_of
from kubeagent.diagnosis.findings import Finding, Weight
from kubeagent.diagnosis.quotes import Quote, clean, cut, sentence
from kubeagent.diagnosis.rules import RULES
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.scope import scope
from kubeagent.diagnosis.standing import Standing, assess, is_starting
from kubeagent.protocol.evidence import Evidence, Refusal
from kubeagent.protocol.kinds import KINDS
from kubeagent.resources.base import ObjectReference
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import (
    MAX_ALTERNATIVES,
    MAX_EVIDENCE,
    MAX_OTHER_ROOT_CAUSES,
    MAX_UNREADABLE,
    ChainLink,
    EvidenceLine,
    Outcome,
    RootCause,
    Unreadable,
    Verdict,
)

_SENTENCE: Final = 1024
_WORD: Final = 128
_BASE: Final = {
    Weight.EXACT: 60,
    Weight.SPECIFIC: 50,
    Weight.LIKELY: 40,
    Weight.GENERIC: 35,
    Weight.SYMPTOM: 10,
}
_CORE: Final = ("Pod", "ReplicaSet")
"""Kinds without a list of which nobody may say that a target is healthy."""


def judge(evidence: Evidence) -> Verdict:
    """What the evidence says about its target."""
    scene = Scene(evidence)
    missing = _not_judgeable(scene)
    if missing:
        return missing
    own = scope(scene)
    graph = Graph(scene, (finding for rule in RULES for finding in rule.find(scene)))
    relevant = [cause for cause in graph.roots() if _matters(cause, graph, own)]
    causes = [cause for cause in relevant if not cause.finding.reason.is_symptom]
    if causes:
        return _found(scene, graph, own, causes)
    return _nothing_found(scene, own, [cause.finding for cause in relevant])


def _not_judgeable(scene: Scene) -> Verdict | None:
    target, evidence = scene.view.target, scene.view.evidence
    if target.kind == "Cluster" or (target.kind == "Namespace" and target not in evidence.absent):
        return None
    if target in evidence.absent or (
        not scene.view.get(target) and scene.view.is_absent(target.kind, target.namespace, target.name)
    ):
        near = f"; did you mean {', '.join(evidence.closest_names)}?" if evidence.closest_names else ""
        return _undetermined(scene, "TargetNotFound", f"{target} does not exist{near}")
    if not scene.view.get(target) and _is_unserved(scene, target):
        kinds = get_close_matches(target.kind, [row.kind for row in KINDS], n=1)
        near = f"; did you mean kind {kinds[0]}?" if kinds else ""
        return _undetermined(scene, "TargetNotFound", f"the cluster serves no kind {target.kind}{near}")
    if not scene.view.get(target):
        return _undetermined(scene, "EvidenceIncomplete", f"{target} could not be read{_refusals(scene)}")
    return None


def _is_unserved(scene: Scene, target: ObjectKey) -> bool:
    """Whether the API server does not know the kind at all."""
    refused = scene.view.evidence.unreadable
    return any(item.object.kind == target.kind and item.reason == "NotSupported" for item in refused)


def _refusals(scene: Scene) -> str:
    said = [f"{item.object.kind}: {item.message or item.reason}" for item in scene.view.evidence.unreadable[:3]]
    return f" ({'; '.join(said)})" if said else ""


def _matters(cause: Cause, graph: Graph, own: frozenset[ObjectKey]) -> bool:
    """Whether a root accounts for anything that belongs to the target."""
    if cause.finding.object in own:
        return True
    below = (cause.finding, *cause.explains)
    return any(state.object in own for finding in below for state in graph.spread(finding.effects))


def _nothing_found(scene: Scene, own: frozenset[ObjectKey], symptoms: Sequence[Finding]) -> Verdict:
    assessment = assess(scene, own)
    core = [item for item in scene.view.evidence.unreadable if item.object.kind in _CORE and not item.object.name]
    if symptoms and (assessment.standing is Standing.EARLY or is_starting(scene, own)):
        return _undetermined(scene, Standing.EARLY, f"too early to say: {symptoms[0].summary}")
    if symptoms:
        return _undetermined(scene, Standing.UNWELL, f"no known cause explains: {symptoms[0].summary}")
    if core:
        return _undetermined(scene, "EvidenceIncomplete", f"not enough could be read{_refusals(scene)}")
    if assessment.standing in (Standing.EARLY, Standing.UNWELL):
        return _undetermined(scene, assessment.standing, assessment.message)
    return Verdict(
        outcome=Outcome.NO_FAULT_FOUND,
        reason=assessment.standing.value,
        message=sentence(assessment.message, _SENTENCE),
        unreadable=_unreadable(scene),
    )


def _undetermined(scene: Scene, reason: str, message: str) -> Verdict:
    return Verdict(
        outcome=Outcome.UNDETERMINED,
        reason=str(reason),
        message=sentence(message, _SENTENCE),
        unreadable=_unreadable(scene),
    )


def _found(scene: Scene, graph: Graph, own: frozenset[ObjectKey], causes: Sequence[Cause]) -> Verdict:
    roots, rivals = _divided(causes)
    told = [_root_cause(scene, graph, own, cause, rivals) for cause in roots[: MAX_OTHER_ROOT_CAUSES + 1]]
    return Verdict(
        outcome=Outcome.ROOT_CAUSE_FOUND,
        reason=told[0].reason,
        message=told[0].summary,
        root_causes=tuple(told),
        alternatives=tuple(_root_cause(scene, graph, own, cause, ()) for cause in rivals[:MAX_ALTERNATIVES]),
        unreadable=_unreadable(scene),
    )


def _divided(causes: Sequence[Cause]) -> tuple[list[Cause], list[Cause]]:
    """Independent roots, and rivals that explain nothing which a better root does not."""
    roots: list[Cause] = []
    rivals: list[Cause] = []
    for cause in causes:
        (rivals if any(_covers(root, cause) for root in roots) else roots).append(cause)
    return roots, rivals


def _covers(root: Cause, other: Cause) -> bool:
    return bool(other.finding.effects) and other.finding.effects <= root.accounts


def _root_cause(
    scene: Scene, graph: Graph, own: frozenset[ObjectKey], cause: Cause, rivals: Sequence[Cause]
) -> RootCause:
    finding = cause.finding
    path = path_of(scene, graph, cause, own)
    quotes = dict.fromkeys((*finding.quotes, *(quote for item in reversed(path) for quote in item.quotes)))
    return RootCause(
        reason=finding.reason.code,
        category=finding.reason.category,
        object=_reference(finding.object, finding.field),
        summary=sentence(finding.summary, _SENTENCE),
        confidence=_confidence(scene, cause, quotes, any(_covers(cause, rival) for rival in rivals)),
        chain=tuple(_link(*link) for link in links(scene, path, finding)),
        evidence=tuple(_lines(quotes)),
    )


def _confidence(scene: Scene, cause: Cause, quotes: Iterable[Quote], contested: bool) -> int:
    finding = cause.finding
    said = {quote.source for quote in quotes}
    points = _BASE[finding.reason.weight]
    points += 15 if finding.certain else 0
    points += 10 if cause.changed else 0
    points += 10 if said & {"event", "log", "status"} or _shows_status(quotes) else 0
    points -= 5 if contested else 0
    points -= min(20, 5 * len({item.object.kind for item in scene.view.evidence.unreadable}))
    return max(5, min(95, points))


def _shows_status(quotes: Iterable[Quote]) -> bool:
    return any(quote.source == "field" and quote.text.startswith("status.") for quote in quotes)


def _link(key: ObjectKey, field: str, reason: str, message: str) -> ChainLink:
    return ChainLink(object=_reference(key, field), reason=reason[:_WORD], message=sentence(message, _SENTENCE))


def _lines(quotes: Iterable[Quote]) -> Iterator[EvidenceLine]:
    kept = [(quote, text) for quote in quotes if (text := clean(quote.text))]
    for position, (quote, text) in enumerate(kept[:MAX_EVIDENCE], start=1):
        yield EvidenceLine(
            id=f"e{position}",
            source=quote.source,
            object=_reference(quote.object, quote.field_path),
            text=text,
            time=quote.time,
        )


def _reference(key: ObjectKey, field: str = "") -> ObjectReference:
    """The reference to an object; names of hostile evidence are cut to what the schema takes."""
    return ObjectReference(
        api_version=cut(key.api_version, _WORD) or None,
        kind=cut(sentence(key.kind, _WORD), _WORD) or "Unknown",
        namespace=cut(sentence(key.namespace, 253), 253) or None,
        name=cut(sentence(key.name, 253), 253) or "unknown",
        field_path=cut(sentence(field, 512), 512) or None,
    )


def _unreadable(scene: Scene) -> tuple[Unreadable, ...]:
    return tuple(_refusal(item) for item in scene.view.evidence.unreadable[:MAX_UNREADABLE])


def _refusal(item: Refusal) -> Unreadable:
    key = item.object
    listed = key if key.name else ObjectKey(key.api_version, key.kind, key.namespace, "*")
    return Unreadable(
        object=_reference(listed),
        reason=sentence(item.reason, _WORD),
        message=sentence(item.message, _SENTENCE),
    )
