"""Carries DiagnosisTasks forward: observe, decide, perform, write the status; again until there is nothing to do.

Events, replies and due times all come here and are served one at a time per task. Nothing is remembered that the
status does not hold, so any look may come too early, too late or twice. A status is written onto the version that it
was derived from; a Conflict means to read again and decide again. Nothing here waits for an agent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from pydantic import ValidationError

from kubeagent.errors import BusError, Conflict, KubeAgentError, MessageTooLarge, NotFound
from kubeagent.hub.background import AT_ONCE, Bell, side_by_side
from kubeagent.hub.clock import Clock
from kubeagent.hub.clusters import Clusters
from kubeagent.hub.dispatch import ACTION, Dispatcher
from kubeagent.hub.due import DueTimes
from kubeagent.hub.guard import Guard
from kubeagent.hub.judging import Judging, mismatch
from kubeagent.hub.metrics import Metrics
from kubeagent.hub.reconcile import status as statuses
from kubeagent.hub.reconcile.command import evidence_request
from kubeagent.hub.reconcile.observed import Failed, Garbled, Judged, Observed, Reply, Timing
from kubeagent.hub.reconcile.runbook import explain
from kubeagent.hub.reconcile.step import Conclude, Delete, Dispatch, End, Nothing, Step, Wait
from kubeagent.hub.reconcile.task import decide, is_wanted, undelivered
from kubeagent.hub.store import Kube, read, write_status
from kubeagent.hub.taskbook import Entry, Taskbook, is_settled
from kubeagent.kube.port import Object
from kubeagent.protocol.evidence import Evidence
from kubeagent.resources.conditions import find
from kubeagent.resources.diagnosistask import DiagnosisTask, DiagnosisTaskStatus
from kubeagent.telemetry.tracing import record_task, task_traceparent

log = structlog.get_logger()

BUSY_PAUSE: Final = timedelta(seconds=1)
ROUNDS: Final = 8
"""Steps or conflicts in a row that are taken at once; then the task waits its turn."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded result, or (`problem`) what was wrong with one that at least named its command."""

    command_id: str
    status: str = ""
    code: str = ""
    error: str = ""
    evidence: Evidence | None = None
    size: int = 0
    problem: str = ""


class Tasks:
    """Every DiagnosisTask that the hub knows of."""

    def __init__(
        self,
        kube: Kube,
        clusters: Clusters,
        guard: Guard,
        dispatcher: Dispatcher,
        judging: Judging,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        bell: Bell,
        timing: Timing,
    ) -> None:
        self._kube = kube
        self._clusters = clusters
        self._guard = guard
        self._dispatcher = dispatcher
        self._judging = judging
        self._metrics = metrics
        self._clock = clock
        self._bell = bell
        self._timing = timing
        self._due = DueTimes(rng)
        self._slots = asyncio.Semaphore(AT_ONCE)  # kopf shows every task at once when the hub starts
        self.book = Taskbook()

    async def seen(self, body: Mapping[str, Any]) -> None:
        """The API server showed us a task; what it showed may be older than what we wrote."""
        entry = self.book.entry(body)
        version = str(body["metadata"].get("resourceVersion", ""))
        if is_settled(body):
            entry.finished, entry.task, entry.version = True, None, version
            self._due.forget(entry.uid)
        elif not entry.knows_newer(version):
            await self._try(entry, body)

    def forget(self, uid: str) -> None:
        """The task was deleted."""
        self.book.forget(uid)
        self._due.forget(uid)

    def wake(self, cluster: str) -> None:
        """The cluster changed: its open tasks are looked at in the next sweep."""
        self._wake(self.book.open_in(cluster))

    def wake_all(self) -> None:
        """Something changed for everybody."""
        self._wake(self.book.all_open())

    async def sweep(self) -> None:
        """Look at every task that is due."""
        await side_by_side(self._look_at, self._due.take(self._clock()))

    async def answered(self, entry: Entry, answer: Answer) -> None:
        """A result came for this task. Returns when its effect is stored. Raises KubeAgentError."""
        async with entry.lock:
            task = entry.task or await self._read(entry)
            if task is None or not is_wanted(task, answer.command_id):
                self._metrics.dropped.labels(reason="late-result").inc()
                return
            await self._carry_on(entry, task, await self._reply(task, answer))

    def _wake(self, entries: Iterable[Entry]) -> None:
        now = self._clock()
        for entry in entries:
            self._due.hasten(entry.uid, now)
        self._bell.ring()

    async def _look_at(self, uid: str) -> None:
        entry = self.book.get(uid)
        if entry is None:
            return
        if entry.lock.locked():  # an answer is being judged: the sweep does not wait for that
            self._due.hasten(uid, self._clock() + BUSY_PAUSE)
        else:
            await self._try(entry, None)

    async def _try(self, entry: Entry, body: Mapping[str, Any] | None) -> None:
        """Look at a task; whatever fails is tried again later."""
        try:
            async with entry.lock, self._slots:
                await self._look(entry, body)
        except KubeAgentError as exc:
            again = self._failed(entry)
            log.warning("a task is looked at again", task=str(entry.key), code=exc.code, reason=exc.message, at=again)
        except Exception:
            self._failed(entry)
            log.exception("a task could not be reconciled", task=str(entry.key))

    def _failed(self, entry: Entry) -> datetime:
        self._metrics.failures.labels(kind="DiagnosisTask").inc()
        return self._due.failed(entry.uid, self._clock())

    async def _look(self, entry: Entry, body: Mapping[str, Any] | None) -> None:
        if body is not None and not entry.knows_newer(str(body["metadata"].get("resourceVersion", ""))):
            task = await self._parse(entry, body)
        else:
            task = entry.task or await self._read(entry)
        if task is not None:
            await self._carry_on(entry, task, None)

    async def _carry_on(self, entry: Entry, task: DiagnosisTask, reply: Reply | None) -> None:
        """Step after step, until the next one is not yet due."""
        current: DiagnosisTask | None = task
        for _ in range(ROUNDS):
            if current is None:
                return
            entry.remember(current)
            self._due.begin(entry.uid)
            try:
                step = await self._step(current, reply)
                current = await self._record(entry, current, step)
            except Conflict:
                current = await self._read(entry)
                continue
            except NotFound:
                self.forget(entry.uid)
                return
            if not self._again_at_once(entry, step):
                return
        raise Conflict(f"{entry.key} changes faster than it can be written")

    async def _step(self, task: DiagnosisTask, reply: Reply | None) -> Step:
        """Observe, decide, perform."""
        observed = Observed(
            task=task,
            cluster=await self._clusters.view(task.spec.cluster),
            guarded=await self._guard.in_force(),
            reply=reply,
            timing=self._timing,
        )
        step = decide(observed, self._clock())
        if isinstance(step, Dispatch):  # what was watched may be old; what is sent follows the cluster as it is now
            observed = replace(observed, cluster=await self._clusters.live_view(task.spec.cluster))
            step = decide(observed, self._clock())
        match step:
            case Dispatch():
                return await self._send(task, step)
            case Delete():
                await self._kube.delete(task.key, uid=task.metadata.uid)
        return step

    async def _send(self, task: DiagnosisTask, step: Dispatch) -> Step:
        try:
            await self._dispatcher.send(task.metadata.uid, step)
        except (BusError, MessageTooLarge) as exc:
            return undelivered(step, type(exc).__name__, exc.message, self._clock())
        return step

    async def _record(self, entry: Entry, task: DiagnosisTask, step: Step) -> DiagnosisTask | None:
        """Write what the step means; the task as it is then."""
        if isinstance(step, Delete):
            self.forget(entry.uid)
            return None
        now = self._clock()
        wanted = task.status if _is_idle(task, step) else statuses.after(task, step, now)
        written = await self._write(task, wanted, type(step).__name__) if wanted != task.status else None
        updated = DiagnosisTask.parse(written) if written is not None else task
        entry.remember(updated)
        if isinstance(step, Dispatch):
            entry.sent = now
        if isinstance(step, Conclude | End) and written is not None:
            self._ended(entry, task, updated.status, now)
        return updated

    async def _write(self, task: DiagnosisTask, wanted: DiagnosisTaskStatus, step: str) -> Object | None:
        version, parent = task.metadata.resource_version, task_traceparent(task.metadata.uid)
        return await write_status(self._kube, task.key, version, task.status, wanted, parent=parent, step=step)

    def _again_at_once(self, entry: Entry, step: Step) -> bool:
        """Note when to look again; True if that is now."""
        match step:
            case Delete():
                return False
            case Nothing() | Wait() | Dispatch():
                self._due.set(entry.uid, step.look_again)
                return step.look_again is not None and step.look_again <= self._clock()
            case Conclude() | End():
                self._due.set(entry.uid, None)
                return True  # once more: a finished task may have a TTL

    def _ended(self, entry: Entry, task: DiagnosisTask, status: DiagnosisTaskStatus, now: datetime) -> None:
        """Count, trace and log what has ended."""
        succeeded = find(status.conditions, statuses.SUCCEEDED)
        reason, message = (succeeded.reason, succeeded.message) if succeeded else ("Unknown", "")
        result = status.outcome.value if status.outcome else reason
        self._metrics.diagnoses.labels(result=result).inc()
        if status.outcome and entry.sent is not None:
            seconds = (now - entry.sent).total_seconds()
            self._metrics.duration.labels(agent="diagnostician", action=ACTION).observe(seconds)
        start, cluster = status.start_time or now, task.spec.cluster
        record_task(
            entry.uid,
            "DiagnosisTask",
            start,
            now,
            namespace=entry.key.namespace,
            task=entry.key.name,
            cluster=cluster,
            result=result,
        )
        log.info("a task ended", task=str(entry.key), result=result, detail=message)

    async def _reply(self, task: DiagnosisTask, answer: Answer) -> Reply:
        """What the result means: judged evidence, a failure, or garbage."""
        if answer.problem:
            return Garbled(answer.command_id, answer.problem)
        if answer.status != "success":
            return Failed(answer.command_id, answer.status, answer.code, answer.error)
        if answer.evidence is None:
            return Garbled(answer.command_id, "status is success, and there is no evidence")
        cluster = await self._clusters.view(task.spec.cluster)
        problem = mismatch(answer.evidence, evidence_request(task, cluster.target_namespaces, 1), cluster.uid)
        if problem:
            return Garbled(answer.command_id, problem)
        verdict = await self._judging(task.metadata.uid, answer.evidence)
        return Judged(answer.command_id, verdict, answer.size)

    async def _read(self, entry: Entry) -> DiagnosisTask | None:
        """The task as it is now; None if it is gone or beyond reading."""
        try:
            body = await read(self._kube, entry.key)
        except NotFound:
            self.forget(entry.uid)
            return None
        if body["metadata"].get("uid") != entry.uid:
            self.forget(entry.uid)
            return None
        return await self._parse(entry, body)

    async def _parse(self, entry: Entry, body: Mapping[str, Any]) -> DiagnosisTask | None:
        """The task in a body; one with an unreadable spec is failed here and now."""
        try:
            return DiagnosisTask.parse(body)
        except ValidationError as exc:
            await self._fail_invalid(entry, body, explain(exc))
            return None

    async def _fail_invalid(self, entry: Entry, body: Mapping[str, Any], problem: str) -> None:
        log.warning("a task cannot be read", task=str(entry.key), reason=problem)
        entry.finished, entry.task = True, None
        raw = body.get("status") or {}
        if raw.get("completionTime"):
            return
        metadata = body["metadata"]
        before = _readable(raw)
        wanted = statuses.invalid(before, int(metadata.get("generation") or 0), problem, self._clock())
        await write_status(self._kube, entry.key, str(metadata.get("resourceVersion", "")), before, wanted)
        self._metrics.diagnoses.labels(result="InvalidSpec").inc()


def _is_idle(task: DiagnosisTask, step: Step) -> bool:
    """Whether the status stands as it is: nothing to do, and the present generation was seen."""
    return isinstance(step, Nothing) and task.status.observed_generation == task.metadata.generation


def _readable(status: Any) -> DiagnosisTaskStatus:
    try:
        return DiagnosisTaskStatus.model_validate(status)
    except ValidationError:
        return DiagnosisTaskStatus()
