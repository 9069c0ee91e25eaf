"""Faults of the workload objects themselves: paused, given up, pointing at nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kubeagent.diagnosis.findings import Finding, Reason, Weight, states
from kubeagent.diagnosis.history import is_past_run, revisions
from kubeagent.diagnosis.objects import mapping, moment, objects, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.troubles import is_paused
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

ROLLOUT_PAUSED = Reason(
    "RolloutPaused",
    Category.ROLLOUT,
    Weight.EXACT,
    "spec.paused, and a template that no ReplicaSet has yet",
    "Resume the rollout.",
)
JOB_BACKOFF = Reason(
    "JobBackoffLimitExceeded",
    Category.APPLICATION,
    Weight.GENERIC,
    "a Job that gave up after its retries",
    "Read the log of its last pod, correct it, and run the Job again.",
)
JOB_DEADLINE = Reason(
    "JobDeadlineExceeded",
    Category.WORKLOAD,
    Weight.SPECIFIC,
    "a Job that ran longer than activeDeadlineSeconds",
    "Find out why it takes so long, or raise the deadline.",
)
SCALE_TARGET_MISSING = Reason(
    "ScaleTargetNotFound",
    Category.AUTOSCALING,
    Weight.EXACT,
    "the scaleTargetRef of an autoscaler, and FailedGetScale",
    "Correct scaleTargetRef, or remove the autoscaler.",
)
POD_REJECTED = Reason(
    "PodRejected",
    Category.NODE,
    Weight.LIKELY,
    "a pod that the kubelet refused or evicted, in the kubelet's words",
    "Read the kubelet's message: what ran short, or what it does not allow.",
)


def paused(scene: Scene) -> Iterator[Finding]:
    """A paused rollout that holds back a change of the template."""
    for key in scene.view.kind("Deployment"):
        obj = scene.view.get(key)
        kept = revisions(scene.view, key)
        if is_paused(obj) and kept and not _is_rolled_out(obj, kept[0].template):
            alteration = scene.alteration(key, "spec.paused")
            told = alteration._replace(what="") if alteration else None
            yield Finding(
                ROLLOUT_PAUSED,
                key,
                f"the rollout of {key} is paused, so its latest template is not rolled out{scene.told(told)}",
                field="spec.paused",
                quotes=(*scene.field_quotes(key, "spec.paused"), *scene.change_quotes(key, "spec.paused")),
                effects=states(key),
                alteration=told,
                certain=True,
            )


def _is_rolled_out(deployment: dict[str, object], kept: dict[str, object]) -> bool:
    """Whether a ReplicaSet has the containers of the Deployment."""
    return bool(mapping(deployment, "spec", "template", "spec") == mapping(kept, "spec"))


def failed_jobs(scene: Scene) -> Iterator[Finding]:
    """A Job that has given up."""
    for key in scene.view.kind("Job"):
        for condition in objects(scene.view.get(key), "status", "conditions"):
            failed = text(condition, "type") == "Failed" and text(condition, "status") == "True"
            if failed and not is_past_run(scene.view, key):
                yield _job(scene, key, condition)


def _job(scene: Scene, key: ObjectKey, condition: dict[str, object]) -> Finding:
    reason = text(condition, "reason")
    workload = scene.view.workload_of(key)
    since = moment(condition, "lastTransitionTime")
    message = text(condition, "message") or reason
    late = reason == "DeadlineExceeded"
    return Finding(
        JOB_DEADLINE if late else JOB_BACKOFF,
        workload,
        f"{key} has failed: {message}",
        field="spec.activeDeadlineSeconds" if late and workload == key else "",
        quotes=(Quote("status", key, message, since, "status.conditions[type=Failed].message"),),
        shows=frozenset() if late else states(key),
        effects=states(key),
        since=since,
        certain=late,
    )


def scale_target_missing(scene: Scene) -> Iterator[Finding]:
    """An autoscaler whose target does not exist."""
    for key in scene.view.kind("HorizontalPodAutoscaler"):
        reference = mapping(scene.view.get(key), "spec", "scaleTargetRef")
        kind, name = text(reference, "kind"), text(reference, "name")
        failing = scene.view.events(key, "FailedGetScale")
        if name and not scene.view.find(kind, key.namespace, name) and scene.view.is_absent(kind, key.namespace, name):
            alteration = scene.alteration(key, "spec.scaleTargetRef")
            yield Finding(
                SCALE_TARGET_MISSING,
                key,
                f"{key} scales {kind} {name}, which does not exist{scene.told(alteration)}",
                field="spec.scaleTargetRef.name",
                quotes=(
                    *scene.field_quotes(key, "spec.scaleTargetRef.name"),
                    *(event.quote for event in failing[-1:]),
                    *scene.change_quotes(key, "spec.scaleTargetRef"),
                ),
                effects=states(key),
                alteration=alteration,
                certain=True,
            )
