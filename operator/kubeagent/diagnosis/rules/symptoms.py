"""The symptoms themselves, so that what no rule explains is said and not lost: one finding per pod or
container in trouble, and one per workload whose pods are refused. A verdict never names a symptom as root
cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kubeagent.diagnosis.findings import Finding, Reason, Weight, states
from kubeagent.diagnosis.quotes import sentence
from kubeagent.diagnosis.rules.refusals import refusals
from kubeagent.diagnosis.scene import Scene, victim
from kubeagent.diagnosis.troubles import Kind, Trouble
from kubeagent.resources.verdict import Category


def _reason(code: str, category: Category, looks_at: str) -> Reason:
    return Reason(code, category, Weight.SYMPTOM, looks_at, "")


IMAGE = _reason("ImageNotPulled", Category.IMAGE, "a container that waits for its image")
CONFIG = _reason("ContainerConfigError", Category.CONFIGURATION, "a container that waits in CreateContainerConfigError")
START = _reason("ContainerNotStarted", Category.APPLICATION, "a container that could not be started")
CRASH = _reason("ContainerCrashing", Category.APPLICATION, "a container that keeps ending")
MOUNT = _reason("VolumeNotMounted", Category.STORAGE, "a pod that waits for a volume")
SANDBOX = _reason("SandboxNotCreated", Category.NETWORK, "a pod that waits for its sandbox")
UNSCHEDULABLE = _reason("PodUnschedulable", Category.SCHEDULING, "a pod without a node")
UNREADY = _reason("PodNotReady", Category.PROBE, "a pod that runs for long without becoming ready")
REJECTED = _reason("PodFailed", Category.NODE, "a pod that its node refused or evicted")
NOT_CREATED = _reason("PodsNotCreated", Category.ADMISSION, "a workload whose pods the API server refuses")

_BY_KIND: Final = {
    Kind.IMAGE: IMAGE,
    Kind.CONFIG: CONFIG,
    Kind.START: START,
    Kind.CRASH: CRASH,
    Kind.OOM: CRASH,
    Kind.MOUNT: MOUNT,
    Kind.SANDBOX: SANDBOX,
    Kind.UNSCHEDULABLE: UNSCHEDULABLE,
    Kind.UNSEEN: UNSCHEDULABLE,
    Kind.GATED: UNSCHEDULABLE,
    Kind.UNREADY: UNREADY,
    Kind.REJECTED: REJECTED,
}
REASONS: Final = (*dict.fromkeys(_BY_KIND.values()), NOT_CREATED)


def pods(scene: Scene) -> Iterator[Finding]:
    """A container (or pod) in trouble."""
    for trouble in scene.troubles:
        if trouble.hard:
            yield Finding(
                _BY_KIND[trouble.kind],
                trouble.pod,
                f"{_part(trouble)}: {trouble.reason or trouble.kind}"
                + (
                    f": {sentence(trouble.message, 300)}"
                    if trouble.message and trouble.message != trouble.reason
                    else ""
                ),
                quotes=(trouble.quote,),
                shows=victim(trouble),
                effects=victim(trouble),
                since=trouble.since,
            )


def _part(trouble: Trouble) -> str:
    return f"container {trouble.container} of {trouble.pod}" if trouble.container else str(trouble.pod)


def refused(scene: Scene) -> Iterator[Finding]:
    """A workload whose pods are refused."""
    for item in refusals(scene):
        yield Finding(
            NOT_CREATED,
            item.creator,
            f"{item.creator} cannot make its pods: {sentence(item.message, 400)}",
            quotes=(item.quote,),
            shows=states(item.creator),
            effects=states(item.creator),
            since=item.time,
        )
