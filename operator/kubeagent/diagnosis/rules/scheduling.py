"""Pods that find no node. The scheduler counts reasons per node in one sentence; the nodes themselves tell
which of the constraints is the one to lift: that whose removal would let at least one node take the pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from kubeagent.diagnosis import selectors
from kubeagent.diagnosis.findings import Finding, Reason, State, Weight
from kubeagent.diagnosis.history import Difference, differences
from kubeagent.diagnosis.objects import Object, flag, labels_of, lookup, mapping, number, objects, string_map, text
from kubeagent.diagnosis.quantities import parse
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.rules.nodes import NODE_NOT_READY, NODE_PRESSURE
from kubeagent.diagnosis.scene import Scene, victim
from kubeagent.diagnosis.troubles import Kind, Trouble
from kubeagent.diagnosis.view import covers
from kubeagent.diagnosis.workloads import containers, template_path
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

_LOOKS_AT = "FailedScheduling, the pod's constraints, and every node's labels, taints and room"


def _reason(code: str, category: Category, weight: Weight, advice: str, looks_at: str = _LOOKS_AT) -> Reason:
    return Reason(code, category, weight, looks_at, advice)


NODE_SELECTOR_UNMATCHED = _reason(
    "NodeSelectorUnmatched", Category.SCHEDULING, Weight.EXACT, "Correct the nodeSelector, or label a node."
)
NODE_AFFINITY_UNMATCHED = _reason(
    "NodeAffinityUnmatched", Category.SCHEDULING, Weight.EXACT, "Correct the node affinity, or label a node."
)
NODE_CORDONED = _reason("NodeCordoned", Category.NODE, Weight.EXACT, "Uncordon the node if its maintenance is over.")
NODE_TAINTED = _reason("NodeTainted", Category.NODE, Weight.SPECIFIC, "Remove the taint, or tolerate it on purpose.")
INSUFFICIENT_RESOURCES = _reason(
    "InsufficientResources",
    Category.RESOURCES,
    Weight.SPECIFIC,
    "Lower the requests, or add room to the cluster.",
)
HOST_PORT_TAKEN = _reason("HostPortTaken", Category.SCHEDULING, Weight.SPECIFIC, "Use another hostPort or none.")
POD_AFFINITY_UNMATCHED = _reason(
    "PodAffinityUnsatisfied",
    Category.SCHEDULING,
    Weight.SPECIFIC,
    "Relax the pod (anti-)affinity or spread constraint.",
)
SCHEDULER_UNKNOWN = _reason(
    "SchedulerUnknown",
    Category.SCHEDULING,
    Weight.SPECIFIC,
    "Correct schedulerName, or start that scheduler.",
    "a pending pod without any word from a scheduler, and its schedulerName",
)
SCHEDULING_GATED = _reason(
    "SchedulingGated",
    Category.SCHEDULING,
    Weight.SPECIFIC,
    "Find the controller that should remove the scheduling gate.",
    "PodScheduled=False with reason SchedulingGated",
)
_CONDITION_TAINTS: Final = {
    "node.kubernetes.io/not-ready": (NODE_NOT_READY, "Ready"),
    "node.kubernetes.io/unreachable": (NODE_NOT_READY, "Ready"),
    "node.kubernetes.io/disk-pressure": (NODE_PRESSURE, "DiskPressure"),
    "node.kubernetes.io/memory-pressure": (NODE_PRESSURE, "MemoryPressure"),
    "node.kubernetes.io/pid-pressure": (NODE_PRESSURE, "PIDPressure"),
}
REASONS: Final = (
    NODE_SELECTOR_UNMATCHED,
    NODE_AFFINITY_UNMATCHED,
    NODE_CORDONED,
    NODE_TAINTED,
    INSUFFICIENT_RESOURCES,
    HOST_PORT_TAKEN,
    POD_AFFINITY_UNMATCHED,
)

_SELECTOR = re.compile(r"didn't match Pod's node affinity/selector|didn't match node selector", re.I)
_CORDON = re.compile(r"node\(s\) were unschedulable", re.I)
_TAINT = re.compile(r"untolerated taint|had taint", re.I)
_INSUFFICIENT = re.compile(r"Insufficient ([a-z0-9./-]*[a-z0-9])", re.I)
_PORTS = re.compile(r"didn't have free ports", re.I)
_POD_AFFINITY = re.compile(r"pod (?:anti-)?affinity|anti-affinity rules|topology spread", re.I)


def unschedulable(scene: Scene) -> Iterator[Finding]:
    """A pod that the scheduler tried to place and could not."""
    for trouble in scene.in_trouble(Kind.UNSCHEDULABLE):
        yield from _selector(scene, trouble)
        yield from _cordoned(scene, trouble)
        yield from _tainted(scene, trouble)
        yield from _insufficient(scene, trouble)
        yield from _simple(scene, trouble)


def _found(
    scene: Scene,
    trouble: Trouble,
    reason: Reason,
    key: ObjectKey,
    field: str,
    summary: str,
    *quotes: Quote,
    certain: bool,
) -> Finding:
    alteration = scene.alteration(key, field)
    return Finding(
        reason,
        key,
        f"{summary}{scene.told(alteration)}",
        field=field,
        quotes=(trouble.quote, *quotes, *scene.field_quotes(key, field), *scene.change_quotes(key, field)),
        effects=victim(trouble),
        alteration=alteration,
        since=trouble.since,
        certain=certain,
    )


def _nodes(scene: Scene) -> list[ObjectKey]:
    return list(scene.view.kind("Node"))


def _selector(scene: Scene, trouble: Trouble) -> Iterator[Finding]:
    """The scheduler names only what it met first on each node; a selector that no node has is at fault anyway."""
    if not (_SELECTOR.search(trouble.message) or scene.view.listed("Node")):
        return
    workload = scene.view.workload_of(trouble.pod)
    spec = scene.spec(trouble.pod)
    nodes = [scene.view.get(key) for key in _nodes(scene)]
    wanted = string_map(spec, "nodeSelector")
    path = template_path(workload.kind)
    matching = [node for node in nodes if not wanted or selectors.equality(wanted, labels_of(node))]
    if wanted and not matching:
        terms = ", ".join(f"{name}={value}" for name, value in sorted(wanted.items()))
        summary = f"{workload} asks for nodes with {terms}, and no node has that"
        known = bool(nodes) and scene.view.listed("Node")
        yield _found(scene, trouble, NODE_SELECTOR_UNMATCHED, workload, f"{path}.nodeSelector", summary, certain=known)
    elif mapping(spec, "affinity", "nodeAffinity") and not any(_affine(spec, node) for node in matching):
        field = f"{path}.affinity.nodeAffinity"
        summary = f"{workload} has a node affinity that no node satisfies"
        yield _found(scene, trouble, NODE_AFFINITY_UNMATCHED, workload, field, summary, certain=bool(nodes))


def _affine(spec: Object, node: Object) -> bool:
    required = mapping(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = objects(required, "nodeSelectorTerms")
    labels = labels_of(node) | {"metadata.name": text(node, "metadata", "name")}
    return not terms or any(
        (objects(term, "matchExpressions") or objects(term, "matchFields"))
        and selectors.matches({"matchExpressions": objects(term, "matchExpressions")}, labels)
        and selectors.matches({"matchExpressions": objects(term, "matchFields")}, labels)
        for term in terms
    )


def _fits_but(spec: Object, node: Object, ignore: str) -> bool:
    """Whether a node would take the pod, as far as labels, cordon and taints tell, without one of them."""
    wanted = string_map(spec, "nodeSelector")
    return (
        (not wanted or selectors.equality(wanted, labels_of(node)))
        and _affine(spec, node)
        and (ignore == "cordon" or not flag(node, "spec", "unschedulable"))
        and (ignore == "taint" or not _repelling(spec, node))
    )


def _repelling(spec: Object, node: Object) -> list[Object]:
    """The taints of a node that the pod does not tolerate; the one that a cordon adds is not counted."""
    return [
        taint
        for taint in objects(node, "spec", "taints")
        if text(taint, "effect") in ("NoSchedule", "NoExecute")
        and text(taint, "key") != "node.kubernetes.io/unschedulable"
        and not any(_tolerates(toleration, taint) for toleration in objects(spec, "tolerations"))
    ]


def _tolerates(toleration: Object, taint: Object) -> bool:
    if text(toleration, "effect") not in ("", text(taint, "effect")):
        return False
    if text(toleration, "operator") == "Exists":
        return text(toleration, "key") in ("", text(taint, "key"))
    return text(toleration, "key") == text(taint, "key") and text(toleration, "value") == text(taint, "value")


def _cordoned(scene: Scene, trouble: Trouble) -> Iterator[Finding]:
    if not _CORDON.search(trouble.message):
        return
    spec = scene.spec(trouble.pod)
    cordoned = [key for key in _nodes(scene) if flag(scene.view.get(key), "spec", "unschedulable")]
    fitting = [key for key in cordoned if _fits_but(spec, scene.view.get(key), "cordon")]
    if fitting:
        key = max(fitting, key=lambda node: (_changed_at(scene, node, "spec.unschedulable"), node))
        others = f" ({len(fitting)} such nodes)" if len(fitting) > 1 else ""
        workload = scene.view.workload_of(trouble.pod)
        summary = f"{key} is cordoned{others}, and pods of {workload} find no other node"
        yield _found(scene, trouble, NODE_CORDONED, key, "spec.unschedulable", summary, certain=True)


def _changed_at(scene: Scene, key: ObjectKey, path: str) -> float:
    change = scene.view.last_change(key, path)
    return change.time.timestamp() if change and change.time else 0.0


def _tainted(scene: Scene, trouble: Trouble) -> Iterator[Finding]:
    if not _TAINT.search(trouble.message):
        return
    spec = scene.spec(trouble.pod)
    for key in _nodes(scene):
        node = scene.view.get(key)
        repelling = _repelling(spec, node)
        if not repelling or not _fits_but(spec, node, "taint"):
            continue
        name = text(repelling[0], "key")
        if name.startswith("node-role.kubernetes.io/"):
            continue
        if name in _CONDITION_TAINTS:
            yield from _ill(scene, trouble, key, *_CONDITION_TAINTS[name])
            continue
        workload = scene.view.workload_of(trouble.pod)
        summary = f"{key} has taint {name}, which pods of {workload} do not tolerate, and no other node takes them"
        certain = not name.startswith("node.kubernetes.io/")
        yield _found(scene, trouble, NODE_TAINTED, key, f"spec.taints[key={name}]", summary, certain=certain)


def _ill(scene: Scene, trouble: Trouble, key: ObjectKey, reason: Reason, condition: str) -> Iterator[Finding]:
    """The node's own condition put the taint there; it is the condition that needs a cure."""
    field = f"status.conditions[type={condition}]"
    message = text(lookup(scene.view.get(key), field), "message")
    yield _found(scene, trouble, reason, key, field, f"{key}: {condition}: {message}", certain=True)


def _insufficient(scene: Scene, trouble: Trouble) -> Iterator[Finding]:
    names = list(dict.fromkeys(_INSUFFICIENT.findall(trouble.message)))
    names += ["pods"] if "Too many pods" in trouble.message else []
    if not names:
        return
    workload = scene.view.workload_of(trouble.pod)
    spec = scene.spec(trouble.pod)
    name = names[0]
    asking = [item for item in containers(spec) if parse(mapping(item, "resources", "requests").get(name))]
    asking.sort(key=lambda item: parse(mapping(item, "resources", "requests").get(name)) or 0, reverse=True)
    path = template_path(workload.kind)
    field = f"{path}.containers[name={text(asking[0], 'name')}].resources.requests" if asking else path
    field = (f"{field}.{name}" if "." not in name else f"{field}[{name}]") if asking else field
    amount = mapping(asking[0], "resources", "requests").get(name) if asking else ""
    summary = f"no node has {name} {amount} free that {workload} requests".replace("  ", " ")
    too_big = _more_than_any_node(scene, name, amount)
    yield _found(scene, trouble, INSUFFICIENT_RESOURCES, workload, field, summary, certain=too_big)


def _more_than_any_node(scene: Scene, name: str, amount: object) -> bool:
    wanted = parse(amount)
    sizes = [parse(mapping(scene.view.get(key), "status", "allocatable").get(name)) for key in _nodes(scene)]
    return wanted is not None and bool(sizes) and all(size is None or size < wanted for size in sizes)


def _simple(scene: Scene, trouble: Trouble) -> Iterator[Finding]:
    workload = scene.view.workload_of(trouble.pod)
    path = template_path(workload.kind)
    if _PORTS.search(trouble.message):
        summary = f"a hostPort of {workload} is taken on every node"
        yield _found(scene, trouble, HOST_PORT_TAKEN, workload, f"{path}.containers", summary, certain=False)
    if _POD_AFFINITY.search(trouble.message):
        spread = "topology spread" in trouble.message
        against = mapping(scene.spec(trouble.pod), "affinity", "podAntiAffinity")
        hard = objects(against, "requiredDuringSchedulingIgnoredDuringExecution")
        own = any(
            selectors.matches(mapping(term, "labelSelector"), labels_of(scene.view.get(trouble.pod))) for term in hard
        )
        field = f"{path}.topologySpreadConstraints" if spread else f"{path}.affinity"
        what = "spread constraint" if spread else "pod anti-affinity" if hard else "pod affinity"
        why = ", which keeps its own pods apart" if own and not spread else ""
        summary = f"no node satisfies the {what} of {workload}{why}"
        certain = own and not spread
        yield _found(scene, trouble, POD_AFFINITY_UNMATCHED, workload, field, summary, certain=certain)


def wanted_nowhere(scene: Scene) -> Iterator[Finding]:
    """A DaemonSet that a revision took off all nodes: no pod is pending then, and nothing is said at all."""
    nodes = [scene.view.get(key) for key in _nodes(scene)]
    for key in scene.view.kind("DaemonSet"):
        spec = scene.spec(key)
        status = mapping(scene.view.get(key), "status")
        if number(status, "desiredNumberScheduled") or not nodes or not scene.view.listed("Node"):
            continue
        wanted = string_map(spec, "nodeSelector")
        matching = [node for node in nodes if not wanted or selectors.equality(wanted, labels_of(node))]
        by_selector = bool(wanted) and not matching
        field = "spec.template.spec.nodeSelector" if by_selector else "spec.template.spec.affinity.nodeAffinity"
        changed = [item for item in differences(scene.view, key) if covers(field, item.path)]
        if changed and (by_selector or not any(_affine(spec, node) for node in matching)):
            yield _off_all_nodes(scene, key, field, by_selector, changed)


def _off_all_nodes(
    scene: Scene, key: ObjectKey, field: str, by_selector: bool, changed: Sequence[Difference]
) -> Finding:
    alteration = scene.alteration(key, field)
    summary = f"{key} runs nowhere: no node has what its {'nodeSelector' if by_selector else 'node affinity'} asks for"
    return Finding(
        NODE_SELECTOR_UNMATCHED if by_selector else NODE_AFFINITY_UNMATCHED,
        key,
        f"{summary}{scene.told(alteration)}",
        field=field,
        message=summary,
        quotes=(
            *scene.field_quotes(key, "status.desiredNumberScheduled"),
            *scene.field_quotes(key, field),
            *(quote for item in changed[:2] for quote in item.quotes()),
        ),
        effects=frozenset({State(key)}),
        alteration=alteration,
        certain=True,
    )


def unseen(scene: Scene) -> Iterator[Finding]:
    """No scheduler looks at the pod: nothing is said at all."""
    for trouble in scene.in_trouble(Kind.UNSEEN):
        name = text(scene.spec(trouble.pod), "schedulerName")
        if name not in ("", "default-scheduler"):
            workload = scene.view.workload_of(trouble.pod)
            field = f"{template_path(workload.kind)}.schedulerName"
            summary = f"no scheduler named {name} picks up the pods of {workload}"
            yield _found(scene, trouble, SCHEDULER_UNKNOWN, workload, field, summary, certain=True)


def gated(scene: Scene) -> Iterator[Finding]:
    """A scheduling gate that nobody removes."""
    for trouble in scene.in_trouble(Kind.GATED):
        workload = scene.view.workload_of(trouble.pod)
        field = f"{template_path(workload.kind)}.schedulingGates"
        summary = f"pods of {workload} wait for a scheduling gate that nobody has removed"
        yield _found(scene, trouble, SCHEDULING_GATED, workload, field, summary, certain=False)
