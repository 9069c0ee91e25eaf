"""What comes from the bus: results, registrations, heartbeats.

A result is acknowledged only after its effect stands in the task's status, so one that arrives while the hub or the
API server is away comes again. Nothing in a message is believed that its subject does not bear out: the cluster is
the subject's, the command must be one of a task of that cluster, and a body that disagrees is dropped and counted.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from typing import Final

import structlog

from kubeagent.bus.port import Bus, Delivery, Incoming
from kubeagent.bus.streams import HEARTBEAT, HUB_RESULTS, RESULTS
from kubeagent.errors import BadMessage, KubeAgentError
from kubeagent.hub.clock import Clock
from kubeagent.hub.clusters import Clusters
from kubeagent.hub.metrics import Metrics
from kubeagent.hub.reconcile.command import parse_command_id
from kubeagent.hub.reconcile.registration import pinned_uid
from kubeagent.hub.registrar import Registrar
from kubeagent.hub.tasks import Answer, Tasks
from kubeagent.protocol import subjects
from kubeagent.protocol.encoding import unpack
from kubeagent.protocol.messages import (
    HEADER_CLUSTER_UID,
    HEADER_ENCODING,
    HEADER_MSG_ID,
    CommandResult,
    command_of,
    decode,
)
from kubeagent.telemetry.logs import may_say

log = structlog.get_logger()

QUEUE: Final = "hub"
AT_ONCE: Final = 16
UNKNOWN_FOR: Final = timedelta(minutes=2)
"""So long after its start the hub may not have seen every task yet."""
RETRY: Final = timedelta(seconds=0.5)
LONGEST_RETRY: Final = timedelta(seconds=60)

_STATUSES: Final = frozenset({"success", "error", "denied", "expired"})
_THREAD_FROM: Final = 64 * 1024
_NAMED: Final = re.compile(rb'"command_id"\s*:\s*"([A-Za-z0-9_-]{1,63})"')


class Inbox:
    """The hub's side of the bus."""

    def __init__(
        self, bus: Bus, tasks: Tasks, clusters: Clusters, registrar: Registrar, metrics: Metrics, clock: Clock
    ) -> None:
        self._bus = bus
        self._tasks = tasks
        self._clusters = clusters
        self._registrar = registrar
        self._metrics = metrics
        self._clock = clock

    async def registrations(self) -> None:
        """Answer them, by request or plain publish; returns when the subscription stands."""
        await self._bus.respond(subjects.every("register"), QUEUE, self._registrar.register)

    async def heartbeats(self) -> None:
        """Take them, for ever."""
        async for message in self._bus.latest(HEARTBEAT):
            self._registrar.heartbeat(message)

    async def results(self, since: datetime) -> None:
        """Take them, several at a time, for ever; `since` is when the hub began to see tasks."""
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            async for delivery in self._bus.consume(RESULTS, HUB_RESULTS):
                await slots.acquire()
                task = group.create_task(self._guarded(delivery, since))
                task.add_done_callback(lambda _: slots.release())

    async def _guarded(self, delivery: Delivery, since: datetime) -> None:
        """One message cannot stop the others."""
        try:
            await self._result(delivery, since)
        except KubeAgentError as exc:
            log.warning("a result is taken later", code=exc.code, reason=exc.message, attempt=delivery.attempt)
            await self._later(delivery)
        except Exception:
            log.exception("a result could not be processed", subject=delivery.message.subject)
            await self._later(delivery)

    async def _later(self, delivery: Delivery) -> None:
        pause = min(RETRY * 2 ** min(delivery.attempt - 1, 8), LONGEST_RETRY)
        try:
            await delivery.retry(pause)
        except KubeAgentError as exc:
            log.debug("a result comes again by itself", reason=exc.message)

    async def _result(self, delivery: Delivery, since: datetime) -> None:
        """One result: whose is it, what does it say, and is its effect stored?"""
        message = delivery.message
        try:
            cluster = subjects.cluster_of(message.subject, "result")
            answer = await self._decode(message, cluster)
        except BadMessage as exc:
            await self._drop(delivery, "bad-result", exc.message)
            return
        command = parse_command_id(answer.command_id)
        entry = self._tasks.book.get(command.task_uid) if command else None
        if command is None:
            await self._drop(delivery, "not-a-task", f"{cluster} answers {answer.command_id[:80]!r}")
        elif entry is None:
            await self._unknown(delivery, since, answer)
        elif entry.cluster != cluster:
            detail = f"{cluster} answers {answer.command_id}, which went to {entry.cluster}"
            await self._drop(delivery, "foreign-result", detail)
        elif not self._is_accepted(cluster):
            await self._drop(delivery, "not-accepted", f"{cluster} is not accepted (any more)")
        else:
            await self._tasks.answered(entry, answer)
            await delivery.ack()
            self._count(cluster, answer)

    async def _decode(self, message: Incoming, cluster: str) -> Answer:
        """The result in a message. Raises BadMessage where not even its command can be told."""
        try:
            result = await self._in_thread(message)
        except BadMessage as exc:
            named = _command_id(message)
            if not named:
                raise
            self._metrics.dropped.labels(reason="bad-result").inc()
            return Answer(named, problem=exc.message)
        if result.cluster_id != cluster:
            raise BadMessage(f"the body speaks of cluster {result.cluster_id[:80]!r}, the subject of {cluster!r}")
        pinned = pinned_uid(self._clusters.known(cluster))
        said = {result.cluster_uid, message.headers.get(HEADER_CLUSTER_UID, "")} - {""}
        if len(said) > 1 or (pinned and said != {pinned}):
            named = ", ".join(sorted(each[:64] for each in said)) or "none"
            raise BadMessage(f"a result under the name {cluster} does not come from that cluster (UID: {named})")
        return Answer(result.command_id, result.status, result.code, result.error, result.evidence, len(message.data))

    def _is_accepted(self, cluster: str) -> bool:
        known = self._clusters.known(cluster)
        return known is None or known.spec.accepted

    async def _in_thread(self, message: Incoming) -> CommandResult:
        if len(message.data) < _THREAD_FROM:
            return _result_of(message)
        return await asyncio.to_thread(_result_of, message)

    def _count(self, cluster: str, answer: Answer) -> None:
        status = answer.status if answer.status in _STATUSES else "bad"
        self._metrics.commands.labels(cluster_id=cluster, status=status).inc()

    async def _unknown(self, delivery: Delivery, since: datetime, answer: Answer) -> None:
        """A task that was not seen: not yet, or not any more."""
        if self._clock() - since < UNKNOWN_FOR:
            await self._later(delivery)
        else:
            await self._drop(delivery, "unknown-task", f"no task for {answer.command_id}")

    async def _drop(self, delivery: Delivery, reason: str, detail: str) -> None:
        self._metrics.dropped.labels(reason=reason).inc()
        if may_say(reason):
            log.warning("a result was dropped", kind=reason, reason=detail)
        await delivery.drop()


def _result_of(message: Incoming) -> CommandResult:
    plain = unpack(message.data, message.headers.get(HEADER_ENCODING, ""))
    return decode(plain, CommandResult)


def _command_id(message: Incoming) -> str:
    """The command that an unreadable result names: in its message id (`<command>:final`), or where it still can be."""
    found = _NAMED.search(message.data[:_THREAD_FROM])
    named = (command_of(message.headers.get(HEADER_MSG_ID, "")), found[1].decode() if found else "")
    return next((each for each in named if parse_command_id(each)), "")
