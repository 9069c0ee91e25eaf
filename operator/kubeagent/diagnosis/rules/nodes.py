"""Nodes that are down or under pressure, and what the kubelet refuses to run."""

from __future__ import annotations

from collections.abc import Iterator

from kubeagent.diagnosis.findings import Finding, Reason, Weight, states
from kubeagent.diagnosis.objects import Object, moment, objects, text
from kubeagent.diagnosis.quotes import Quote, sentence
from kubeagent.diagnosis.rules.controllers import POD_REJECTED
from kubeagent.diagnosis.scene import Scene, victim
from kubeagent.diagnosis.troubles import Kind
from kubeagent.diagnosis.workloads import template_path
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

NODE_NOT_READY = Reason(
    "NodeNotReady",
    Category.NODE,
    Weight.EXACT,
    "the Ready condition of the nodes that the pods run on",
    "Restore the node: kubelet, container runtime, network; the condition's message says which.",
)
NODE_PRESSURE = Reason(
    "NodeUnderPressure",
    Category.NODE,
    Weight.SPECIFIC,
    "DiskPressure, MemoryPressure, PIDPressure together with pods that the node evicts or refuses",
    "Find what fills the node; the condition's message names what runs short.",
)
SANDBOX_FAILED = Reason(
    "PodSandboxFailed",
    Category.NETWORK,
    Weight.LIKELY,
    "FailedCreatePodSandBox in the kubelet's words",
    "Check the network plugin and the container runtime of that node.",
)


def not_ready(scene: Scene) -> Iterator[Finding]:
    """A node whose kubelet says, or no longer says, that it is ready."""
    for key in scene.view.kind("Node"):
        condition = _condition(scene.view.get(key), "Ready")
        if condition and text(condition, "status") != "True":
            yield _node(scene, NODE_NOT_READY, key, condition, f"{key} is not ready: {text(condition, 'message')}")


def under_pressure(scene: Scene) -> Iterator[Finding]:
    """A node that runs short of something and has turned pods away for it."""
    rejected = {trouble.pod for trouble in scene.in_trouble(Kind.REJECTED)}
    for key in scene.view.kind("Node"):
        victims = [edge.source for edge in scene.topology.users(key) if edge.source in rejected]
        for name in ("DiskPressure", "MemoryPressure", "PIDPressure"):
            condition = _condition(scene.view.get(key), name)
            if victims and text(condition, "status") == "True":
                yield _node(
                    scene,
                    NODE_PRESSURE,
                    key,
                    condition,
                    f"{key} is under {name}: {text(condition, 'message')}",
                )


def _condition(node: Object, name: str) -> Object:
    return next((item for item in objects(node, "status", "conditions") if text(item, "type") == name), {})


def _node(scene: Scene, reason: Reason, key: ObjectKey, condition: Object, summary: str) -> Finding:
    since = moment(condition, "lastTransitionTime")
    path = f"status.conditions[type={text(condition, 'type')}]"
    return Finding(
        reason,
        key,
        summary,
        field=path,
        quotes=(
            Quote("status", key, text(condition, "message"), since, f"{path}.message"),
            *scene.field_quotes(key, f"{path}.status"),
        ),
        effects=states(key),
        since=since,
        certain=True,
    )


def rejected_pods(scene: Scene) -> Iterator[Finding]:
    """A pod that the kubelet refused or evicted."""
    for trouble in scene.in_trouble(Kind.REJECTED):
        workload = scene.view.workload_of(trouble.pod)
        yield Finding(
            POD_REJECTED,
            workload,
            f"a pod of {workload} was refused by its node ({trouble.reason}): {sentence(trouble.message, 400)}",
            field=template_path(workload.kind),
            quotes=(trouble.quote,),
            shows=victim(trouble),
            effects=victim(trouble),
            since=trouble.since,
        )


def sandboxes(scene: Scene) -> Iterator[Finding]:
    """A pod for which the node cannot make a sandbox."""
    for trouble in scene.in_trouble(Kind.SANDBOX):
        name = text(scene.spec(trouble.pod), "nodeName")
        yield Finding(
            SANDBOX_FAILED,
            ObjectKey("v1", "Node", "", name),
            f"Node {name} cannot make the pod's sandbox: {sentence(trouble.message, 400)}",
            quotes=(trouble.quote,),
            effects=victim(trouble),
            since=trouble.since,
        )
