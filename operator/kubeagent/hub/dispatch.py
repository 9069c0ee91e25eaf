"""Sends the evidence command of a step: stored once under its id, gone when its task no longer needs it.

The trace id is the task's uid and travels as a header, so that the agent's spans join the task's trace.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from kubeagent.bus.port import Bus
from kubeagent.errors import BusUnavailable
from kubeagent.hub.clock import Clock
from kubeagent.hub.metrics import Metrics
from kubeagent.hub.queues import Queues
from kubeagent.hub.reconcile.step import Dispatch
from kubeagent.protocol import subjects
from kubeagent.protocol.durations import format_duration
from kubeagent.protocol.messages import (
    HEADER_CLUSTER_UID,
    HEADER_PROTOCOL,
    HEADER_TRACE,
    PROTOCOL,
    Command,
    encode,
)
from kubeagent.telemetry.tracing import Span, span, task_traceparent

ACTION: Final = "evidence"


class Dispatcher:
    """Publishes commands."""

    def __init__(self, bus: Bus, queues: Queues, metrics: Metrics, clock: Clock) -> None:
        self._bus = bus
        self._queues = queues
        self._metrics = metrics
        self._clock = clock

    async def send(self, uid: str, step: Dispatch) -> None:
        """Store the command for the agent; the same one twice is stored once. Raises BusError, MessageTooLarge."""
        if not self._bus.connected:
            raise BusUnavailable("the hub has no connection to NATS")
        now = self._clock()
        parent = task_traceparent(uid)
        with span("hub.dispatch", parent=parent, cluster=step.cluster, attempt=step.attempt) as current:
            await self._queues.ensure(step.cluster)
            new = await self._bus.publish(
                subjects.subject("command", step.cluster),
                encode(_command(step, now)),
                headers=_headers(step, current, parent),
                message_id=step.command_id,
                ttl=step.expires_at - now,
            )
        status = "sent" if new else "duplicate"
        self._metrics.commands.labels(cluster_id=step.cluster, status=status).inc()


def _command(step: Dispatch, now: datetime) -> Command:
    return Command(
        id=step.command_id,
        tool="kubeagent",
        action=ACTION,
        timeout=format_duration(step.expires_at - now),
        created_at=now,
        cluster_uid=step.cluster_uid,
        expires_at=step.expires_at,
        evidence=step.request,
    )


def _headers(step: Dispatch, current: Span, parent: str) -> dict[str, str]:
    headers = {
        HEADER_PROTOCOL: str(PROTOCOL),
        HEADER_CLUSTER_UID: step.cluster_uid,
        HEADER_TRACE: current.traceparent or parent,
    }
    return {key: value for key, value in headers.items() if value}
