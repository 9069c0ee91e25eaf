"""What is wrong with pods right now, as their own status and fresh events say it.

The line between a fault and a rollout in progress is drawn here, and nowhere else. A container that is being
created, a readiness probe that fails while the process starts, pods of the revision that is being replaced,
pods on their way out: no trouble. A waiting reason that only a person can cure, a container that ended when
it should run, a scheduler that found no node: trouble at once. What lies between (one restart, not ready for
long) is `hard=False` until time or repetition decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from kubeagent.diagnosis import workloads
from kubeagent.diagnosis.history import is_past_run, is_superseded
from kubeagent.diagnosis.objects import Object, dig, flag, mapping, moment, number, objects, text
from kubeagent.diagnosis.quotes import Quote
from kubeagent.diagnosis.services import is_ready
from kubeagent.diagnosis.view import EPOCH, Event, View
from kubeagent.resources.refs import ObjectKey


class Kind(StrEnum):
    """The ways in which a pod does not do its job."""

    IMAGE = "image"
    CONFIG = "config"
    START = "start"
    CRASH = "crash"
    OOM = "oom"
    MOUNT = "mount"
    SANDBOX = "sandbox"
    UNSCHEDULABLE = "unschedulable"
    UNSEEN = "unseen"
    GATED = "gated"
    UNREADY = "unready"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Trouble:
    """One container (or the whole pod, container "") in trouble. `message` is quoted from `quote`."""

    kind: Kind
    pod: ObjectKey
    container: str
    reason: str
    message: str
    quote: Quote
    since: datetime | None = None
    exit_code: int | None = None
    hard: bool = True


IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
START_REASONS: Final = frozenset(
    {
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "ContainerCannotRun",
        "StartError",
    }
)
_INIT_OOM: Final = "OOM-killed"
"""What runc says if the limit is too low even for the container's init process."""
_RECENT_CRASH: Final = timedelta(minutes=10)
_STARTING: Final = 5.0
_UNREADY_AFTER: Final = 45.0
_TRANSIENT_MOUNT: Final = ("failed to sync", "not registered", "timed out waiting for the condition")


def troubles(view: View) -> Iterator[Trouble]:
    """Every trouble of every pod in the evidence, pod by pod."""
    for key in view.kind("Pod"):
        if is_of_now(view, key):
            yield from _of_pod(view, key, view.get(key))


def is_of_now(view: View, key: ObjectKey) -> bool:
    """Whether a pod counts: it is not done, not on its way out, and not being replaced."""
    pod = view.get(key)
    if text(pod, "metadata", "deletionTimestamp") or text(pod, "status", "phase") == "Succeeded":
        return False
    job = next((owner for owner in view.owners(key) if owner.kind == "Job"), None)
    if job and any(_has_condition(view.get(job), name) for name in ("Complete", "SuccessCriteriaMet")):
        return False
    if job and key != view.target and is_past_run(view, job):
        return False
    return key == view.target or not is_superseded(view, key)


def _has_condition(obj: Object, name: str) -> bool:
    return any(
        text(item, "type") == name and text(item, "status") == "True" for item in objects(obj, "status", "conditions")
    )


def _of_pod(view: View, key: ObjectKey, pod: Object) -> Iterator[Trouble]:
    if text(pod, "status", "phase") == "Failed" and text(pod, "status", "reason"):
        yield from _rejected(view, key, pod)
        return
    if not text(pod, "spec", "nodeName"):
        yield from _unscheduled(view, key, pod)
        return
    found = [
        trouble for status in workloads.container_statuses(pod) for trouble in _of_container(view, key, pod, status)
    ]
    yield from found
    if not any(trouble.hard for trouble in found):
        yield from _before_start(view, key, pod)
        yield from _unready(view, key, pod)


def _rejected(view: View, key: ObjectKey, pod: Object) -> Iterator[Trouble]:
    """The kubelet refused or evicted the pod; its workload makes another, so only the newest one counts."""
    newest = max(view.pods_of(view.owner(key) or key), default=key, key=lambda other: (-view.age(other), other))
    if newest == key:
        message = text(pod, "status", "message")
        quote = Quote("status", key, message or text(pod, "status", "reason"), None, "status.message")
        since = moment(pod, "metadata", "creationTimestamp")
        yield Trouble(Kind.REJECTED, key, "", text(pod, "status", "reason"), message, quote, since)


def _unscheduled(view: View, key: ObjectKey, pod: Object) -> Iterator[Trouble]:
    for condition in objects(pod, "status", "conditions"):
        if text(condition, "type") == "PodScheduled" and text(condition, "status") == "False":
            reason, message = text(condition, "reason"), text(condition, "message")
            kind = Kind.GATED if reason == "SchedulingGated" else Kind.UNSCHEDULABLE
            since = moment(condition, "lastTransitionTime")
            quote = Quote("status", key, message, since, "status.conditions[type=PodScheduled].message")
            yield Trouble(kind, key, "", reason, message, quote, since)
            return
    failed = view.events(key, "FailedScheduling")
    if failed:
        last = failed[-1]
        yield Trouble(Kind.UNSCHEDULABLE, key, "", last.reason, last.message, last.quote, last.time)
    elif view.age(key) > _STARTING:
        since = moment(pod, "metadata", "creationTimestamp")
        phase = Quote("field", key, f"status.phase: {text(pod, 'status', 'phase')}", since, "status.phase")
        yield Trouble(Kind.UNSEEN, key, "", "Pending", "no scheduler has looked at the pod", phase, since)


def _of_container(view: View, key: ObjectKey, pod: Object, status: Object) -> Iterator[Trouble]:
    name = text(status, "name")
    waiting = mapping(status, "state", "waiting")
    reason = text(waiting, "reason")
    message = text(waiting, "message") or reason
    kind = Kind.OOM if _INIT_OOM in message else _waiting_kind(reason)
    if kind:
        since = None if number(status, "restartCount") else _pod_start(pod)
        path = f"{_status_path(pod, name)}.state.waiting.message"
        yield Trouble(kind, key, name, reason, message, Quote("status", key, message, None, path), since)
        return
    yield from _crashed(view, key, pod, status)


def _waiting_kind(reason: str) -> Kind | None:
    if reason in IMAGE_REASONS:
        return Kind.IMAGE
    if reason == "CreateContainerConfigError":
        return Kind.CONFIG
    return Kind.START if reason in START_REASONS else None


def _status_path(pod: Object, name: str) -> str:
    init = any(text(item, "name") == name for item in objects(pod, "status", "initContainerStatuses"))
    return f"status.{'initContainerStatuses' if init else 'containerStatuses'}[name={name}]"


def _pod_start(pod: Object) -> datetime | None:
    return moment(pod, "status", "startTime") or moment(pod, "metadata", "creationTimestamp")


def _crashed(view: View, key: ObjectKey, pod: Object, status: Object) -> Iterator[Trouble]:
    """A container that ended and should not have, in this or in its last instance."""
    name = text(status, "name")
    ended = mapping(status, "state", "terminated")
    where = "state"
    if not ended:
        ended, where = mapping(status, "lastState", "terminated"), "lastState"
    if not ended or not _should_not_have_ended(view, key, pod, name, ended, where):
        return
    hard = _is_hard(view, status, ended, where)
    if hard is None:
        return
    reason, exit_code = text(ended, "reason"), number(ended, "exitCode")
    kind = _ended_kind(reason, text(ended, "message"))
    path = f"{_status_path(pod, name)}.{where}.terminated"
    said = text(ended, "message").strip()
    finished = moment(ended, "finishedAt")
    quote = _how_it_ended(key, path, ended, kind)
    yield Trouble(kind, key, name, reason, said, quote, finished, exit_code, hard)


def _how_it_ended(key: ObjectKey, path: str, ended: Object, kind: Kind) -> Quote:
    """In words that still stand when the state has moved on to lastState, a second later."""
    reason, said, finished = (
        text(ended, "reason"),
        text(ended, "message").strip(),
        moment(ended, "finishedAt"),
    )
    if said and kind is Kind.START:
        return Quote("status", key, said, finished, f"{path}.message")
    if kind is Kind.CRASH and ".lastState." in path:
        return Quote("field", key, f"{path}.exitCode: {number(ended, 'exitCode')}", finished, path)
    return Quote("status", key, reason or "terminated", finished, f"{path}.reason")


def _ended_kind(reason: str, message: str) -> Kind:
    if reason == "OOMKilled" or _INIT_OOM in message:
        return Kind.OOM
    return Kind.START if reason in START_REASONS else Kind.CRASH


def _should_not_have_ended(view: View, key: ObjectKey, pod: Object, name: str, ended: Object, where: str) -> bool:
    failed = number(ended, "exitCode") != 0 or text(ended, "reason") == "OOMKilled"
    spec = workloads.pod_spec(pod)
    is_init = any(text(item, "name") == name for item in objects(spec, "initContainers"))
    if is_init and not workloads.is_sidecar(spec, name):
        return (failed and where == "state") or (failed and not _init_done(pod, name))
    if text(spec, "restartPolicy") in ("Never", "OnFailure"):
        return failed and _job_gave_up(view, key)
    return True


def _init_done(pod: Object, name: str) -> bool:
    statuses = objects(pod, "status", "initContainerStatuses")
    return any(
        text(item, "name") == name and number(item, "state", "terminated", "exitCode", default=1) == 0
        for item in statuses
    )


def _job_gave_up(view: View, key: ObjectKey) -> bool:
    """A Job tries again; only when it has given up (or it is a bare pod) is a failed pod the end."""
    job = next((owner for owner in view.owners(key) if owner.kind == "Job"), None)
    return job is None or any(_has_condition(view.get(job), name) for name in ("Failed", "FailureTarget"))


def _is_hard(view: View, status: Object, ended: Object, where: str) -> bool | None:
    """True: it is down or keeps falling. False: it fell once and may stand. None: that was long ago."""
    restarts = number(status, "restartCount")
    if where == "state" or text(status, "state", "waiting", "reason") == "CrashLoopBackOff":
        return True
    finished = moment(ended, "finishedAt")
    if finished is None or view.now - finished > _RECENT_CRASH:
        return None
    ran = (view.now - finished).total_seconds()
    if dig(status, "ready") is True and ran > max(60.0, 4 * _lifetime(ended)):
        return None
    return restarts >= 2 or text(ended, "reason") == "OOMKilled"


def _lifetime(ended: Object) -> float:
    started, finished = moment(ended, "startedAt"), moment(ended, "finishedAt")
    return (finished - started).total_seconds() if started and finished else 0.0


def _before_start(view: View, key: ObjectKey, pod: Object) -> Iterator[Trouble]:
    """Volumes that cannot be mounted and sandboxes that cannot be made: only events say so."""
    if not _is_being_created(pod):
        return
    for kind, reasons in (
        (Kind.MOUNT, ("FailedMount", "FailedAttachVolume", "FailedMapVolume")),
        (Kind.SANDBOX, ("FailedCreatePodSandBox", "FailedCreatePodContainer", "NetworkNotReady")),
    ):
        events = [event for event in view.events(key, *reasons) if not _is_transient(event)]
        if events:
            last = events[-1]
            yield Trouble(kind, key, "", last.reason, last.message, last.quote, events[0].time)


def _is_being_created(pod: Object) -> bool:
    statuses = list(workloads.container_statuses(pod))
    creating = [
        text(item, "state", "waiting", "reason") in ("ContainerCreating", "PodInitializing") for item in statuses
    ]
    return not statuses or (any(creating) and not any(mapping(item, "state", "running") for item in statuses))


def _is_transient(event: Event) -> bool:
    return any(phrase in event.message for phrase in _TRANSIENT_MOUNT) and event.times < 3


def _unready(view: View, key: ObjectKey, pod: Object) -> Iterator[Trouble]:
    """Running but not ready: a fault only once the probe had more than its time."""
    if is_ready(pod) or text(pod, "status", "phase") != "Running":
        return
    spec = workloads.pod_spec(pod)
    for status in workloads.container_statuses(pod):
        name = text(status, "name")
        started = moment(status, "state", "running", "startedAt")
        if started is None or (dig(status, "ready") is True and dig(status, "started") is not False):
            continue
        failing = [event for event in view.events(key, "Unhealthy") if event.container in ("", name)]
        container = workloads.container_named(spec, name)
        patience = max(_patience(container, probe) for probe in ("readinessProbe", "startupProbe"))
        if failing:
            last = failing[-1]
            late = (view.now - started).total_seconds() > max(patience, _UNREADY_AFTER)
            hard = late and (last.time or EPOCH) >= started
            yield Trouble(Kind.UNREADY, key, name, last.reason, last.message, last.quote, started, hard=hard)


def _patience(container: Object, probe: str) -> float:
    """How long a probe may fail before that means something."""
    settings = mapping(container, probe)
    if not settings:
        return 0.0
    period, failures = (
        number(settings, "periodSeconds", default=10),
        number(settings, "failureThreshold", default=3),
    )
    return number(settings, "initialDelaySeconds") + float(period * (failures + 1))


def is_paused(workload: Object) -> bool:
    """Whether a rollout was paused."""
    return flag(workload, "spec", "paused")
