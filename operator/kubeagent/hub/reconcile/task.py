"""The next step of a DiagnosisTask: one pure function of what is observed and of the time.

It is level-triggered: it never asks what changed, only how things stand, so that a lost event, a second hub, a
restart or a redelivered reply leads to the same step. All it remembers stands in the task's own status: Dispatched
and its transition time say when the last attempt was sent or failed, usage.commands how many there were.

Nothing here ever reopens a task that has a completionTime.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kubeagent.hub.reconcile.command import (
    CommandId,
    evidence_request,
    is_allowed,
    parse_command_id,
    target_namespace,
)
from kubeagent.hub.reconcile.observed import ClusterState, ClusterView, Failed, Garbled, Judged, Observed, Reply
from kubeagent.hub.reconcile.replies import LOOKING_AGAIN, RETRIED, Failure, classify, undetermined
from kubeagent.hub.reconcile.step import Conclude, Delete, Dispatch, End, Fact, Nothing, Step, Wait
from kubeagent.protocol.messages import CAPABILITY_EVIDENCE
from kubeagent.resources.conditions import Condition, find
from kubeagent.resources.diagnosistask import DiagnosisTask

DISPATCHED = "Dispatched"
EVIDENCE_COLLECTED = "EvidenceCollected"
TOO_EARLY = frozenset({"StillProgressing", "RolloutInProgress"})
"""Verdicts that may be another one in a few seconds: a pod that starts looks the same whether it will run or not."""
LOOKS = 4
"""With pauses of 2, 4 and 8 seconds between them."""


def decide(observed: Observed, now: datetime) -> Step:
    """What to do about the task, now."""
    task = observed.task
    if task.metadata.deletion_timestamp is not None:
        return Nothing()
    if task.finished:
        return _finished(task, now)
    if task.spec.cancel:
        return End("Cancelled", "spec.cancel was set; nothing was changed in the cluster")
    reply = observed.reply if observed.reply and is_wanted(task, observed.reply.command_id) else None
    if isinstance(reply, Judged):
        return _answered(observed, reply, now)
    if now >= deadline(task, now):
        return End("Timeout", _timeout_message(task))
    if reply is not None and _is_news(task, reply):
        return _after_failure(observed, reply, now)
    return _await_or_send(observed, now)


def is_wanted(task: DiagnosisTask, command_id: str) -> bool:
    """Whether a reply to this command can still matter: it is this task's, was sent, and the task is open."""
    command = parse_command_id(command_id)
    if command is None or task.finished or command.task_uid != task.metadata.uid:
        return False
    return command.attempt <= attempts(task) + 1  # the hub may have been killed before it recorded the last one


def attempts(task: DiagnosisTask) -> int:
    """How many commands were sent for the task."""
    return task.status.usage.commands if task.status.usage else 0


def deadline(task: DiagnosisTask, now: datetime) -> datetime:
    """When the task gives up: timeoutSeconds after the hub first saw it."""
    return (task.status.start_time or now) + timedelta(seconds=task.spec.timeout_seconds)


def undelivered(step: Dispatch, reason: str, message: str, now: datetime) -> Wait:
    """The step that replaces a dispatch that the bus did not take."""
    return Wait(now + timedelta(seconds=5), (Fact(DISPATCHED, "False", reason, message),))


def _finished(task: DiagnosisTask, now: datetime) -> Step:
    ttl, ended = task.spec.ttl_seconds_after_finished, task.status.completion_time
    if ttl is None or ended is None:
        return Nothing()
    due = ended + timedelta(seconds=ttl)
    return Delete() if now >= due else Nothing(due)


def _sent(task: DiagnosisTask, reply: Judged) -> Fact:
    return Fact(DISPATCHED, "True", "CommandAnswered", f"{task.spec.cluster} answered {reply.command_id}")


def _collected(reply: Judged) -> Fact:
    return Fact(EVIDENCE_COLLECTED, "True", "Collected", f"{reply.size} bytes of evidence arrived")


def _timeout_message(task: DiagnosisTask) -> str:
    obstacle = find(task.status.conditions, DISPATCHED)
    collected = find(task.status.conditions, EVIDENCE_COLLECTED)
    waited = f"no verdict within {task.spec.timeout_seconds} s"
    if obstacle is None or obstacle.status == "Unknown":
        return f"{waited}: the task was never dispatched"
    if obstacle.status == "False":
        return f"{waited}: {obstacle.reason}: {obstacle.message}"
    if collected is not None and collected.status == "False":
        return f"{waited}: {collected.reason}: {collected.message}"
    return f"{waited}: cluster {task.spec.cluster} did not answer the last of {attempts(task)} commands"


def _answered(observed: Observed, reply: Judged, now: datetime) -> Step:
    """The end, unless the verdict only says "too early" and there is time for another look."""
    task, timing = observed.task, observed.timing
    command = parse_command_id(reply.command_id)
    attempt = command.attempt if command else LOOKS
    again = now + _pause(observed, attempt)
    is_last = attempt >= LOOKS or again + timing.answer_margin >= deadline(task, now)
    if reply.verdict.reason not in TOO_EARLY or is_last:
        return Conclude(reply.verdict, reply.size, (_sent(task, reply), _collected(reply)))
    if attempt < attempts(task):
        return _await_or_send(observed, now)  # a later look is under way
    message = f"{reply.verdict.message}; look {attempt} of {LOOKS}"
    return Wait(again, (Fact(DISPATCHED, "False", LOOKING_AGAIN, message), _collected(reply)), attempt)


def _is_news(task: DiagnosisTask, reply: Failed | Garbled) -> bool:
    """A failure counts once, and only if it is the last attempt's."""
    command = parse_command_id(reply.command_id)
    if command is None or command.attempt < attempts(task):
        return False
    return command.attempt > attempts(task) or _outstanding(task) is not None


def _outstanding(task: DiagnosisTask) -> Condition | None:
    """The Dispatched condition, if a command is out."""
    dispatched = find(task.status.conditions, DISPATCHED)
    return dispatched if dispatched is not None and dispatched.status == "True" else None


def _after_failure(observed: Observed, reply: Failed | Garbled, now: datetime) -> Step:
    failure = classify(reply)
    collected = Fact(EVIDENCE_COLLECTED, "False", failure.reason, failure.message)
    if not failure.retryable:
        return Conclude(undetermined(failure), facts=(collected,))
    command = parse_command_id(reply.command_id)
    attempt = command.attempt if command else 0
    return _retry(observed, failure, attempt, now, collected)


def _retry(observed: Observed, failure: Failure, attempt: int, now: datetime, *facts: Fact) -> Wait:
    again = now if failure.reason == "NoAnswer" else now + _pause(observed, attempt)
    dispatched = Fact(DISPATCHED, "False", failure.reason, failure.message)
    return Wait(min(again, deadline(observed.task, now)), (dispatched, *facts), attempt)


def _pause(observed: Observed, attempt: int) -> timedelta:
    return min(timedelta(seconds=2 ** min(attempt, 10)), observed.timing.longest_retry)


def _await_or_send(observed: Observed, now: datetime) -> Step:
    task, timing = observed.task, observed.timing
    if out := _outstanding(task):
        overdue = out.last_transition_time + timing.command_timeout + timing.answer_margin
        if now < overdue:
            return Nothing(min(overdue, deadline(task, now)))
        seconds = int(timing.command_timeout.total_seconds())
        silence = f"the agent of {task.spec.cluster} did not answer within {seconds} s"
        return _retry(observed, Failure("NoAnswer", silence, True), attempts(task), now)
    return _obstacle(observed, now) or _pausing(observed, now) or _dispatch(observed, now)


def _pausing(observed: Observed, now: datetime) -> Nothing | None:
    """A failed attempt is not repeated at once."""
    task = observed.task
    last = find(task.status.conditions, DISPATCHED)
    if last is None or last.status != "False" or last.reason not in RETRIED or last.reason == "NoAnswer":
        return None
    again = last.last_transition_time + _pause(observed, attempts(task))
    return Nothing(min(again, deadline(task, now))) if now < again else None


def _obstacle(observed: Observed, now: datetime) -> Step | None:
    """Why nothing may be sent, if so: what a person would have to change."""
    task, cluster = observed.task, observed.cluster
    found = None if observed.guarded else _GUARD
    found = found or _cluster_obstacle(cluster)
    if found is not None:
        again = min(now + observed.timing.obstacle_interval, deadline(task, now))
        return Wait(again, (found,))
    if not is_allowed(task, cluster.target_namespaces):
        return _not_allowed(task)
    if cluster.capabilities is not None and CAPABILITY_EVIDENCE not in cluster.capabilities:
        return _incapable(cluster)
    return None


_GUARD = Fact(
    DISPATCHED,
    "False",
    "ScopeGuardMissing",
    "the admission policy kubeagent-task-scope or its binding is missing or altered; apply the chart's policies",
)

_OBSTACLES: dict[ClusterState, tuple[str, str]] = {
    ClusterState.MISSING: (
        "ClusterNotFound",
        "no managedclusters.kubeagent.io {0}: see `kubectl get managedclusters.kubeagent.io`, or join it with "
        "`kubeagent cluster join {0}`",
    ),
    ClusterState.NOT_ACCEPTED: (
        "ClusterNotAccepted",
        "cluster {0} is not accepted; run `kubeagent cluster accept {0}`",
    ),
    ClusterState.PAUSED: (
        "ClusterPaused",
        "cluster {0} is paused; set spec.paused of managedclusters.kubeagent.io {0} to false",
    ),
    ClusterState.OFFLINE: (
        "ClusterOffline",
        "cluster {0} is offline: {1}; see `kubectl describe managedclusters.kubeagent.io {0}`",
    ),
}


def _cluster_obstacle(cluster: ClusterView) -> Fact | None:
    if cluster.state is ClusterState.ONLINE:
        return None
    reason, message = _OBSTACLES[cluster.state]
    return Fact(DISPATCHED, "False", reason, message.format(cluster.name, cluster.silence))


def _not_allowed(task: DiagnosisTask) -> End:
    message = (
        f"namespace {target_namespace(task)} is not in spec.targetNamespaces of managedclusters.kubeagent.io "
        f"{task.spec.cluster}; add it there and create the task again"
    )
    return End("Failed", message, (Fact(DISPATCHED, "False", "TargetNotAllowed", message),))


def _incapable(cluster: ClusterView) -> Conclude:
    message = (
        f"the agent of {cluster.name} does not offer the capability {CAPABILITY_EVIDENCE!r}; install the kubeagent "
        "agent there to diagnose it"
    )
    failure = Failure("AgentCapabilityMissing", message, False)
    return Conclude(undetermined(failure), facts=(Fact(DISPATCHED, "False", failure.reason, message),))


def _dispatch(observed: Observed, now: datetime) -> Dispatch:
    task, timing, cluster = observed.task, observed.timing, observed.cluster
    attempt = attempts(task) + 1
    end = deadline(task, now)
    expires = min(now + timing.command_timeout, end)
    command = CommandId(task.metadata.uid, attempt)
    return Dispatch(
        command_id=str(command),
        attempt=attempt,
        cluster=cluster.name,
        cluster_uid=cluster.uid,
        request=evidence_request(task, cluster.target_namespaces, (expires - now).total_seconds()),
        expires_at=expires,
        look_again=min(now + timing.command_timeout + timing.answer_margin, end),
        message=f"attempt {attempt}: {command} sent to the agent of {cluster.name}",
    )


__all__ = ["DISPATCHED", "EVIDENCE_COLLECTED", "Reply", "attempts", "deadline", "decide", "is_wanted", "undelivered"]
