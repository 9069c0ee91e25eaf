"""The agent process: who are we, connect, register, beat, answer commands, until somebody says stop.

The parts run side by side and each outlives outages by itself. What ends the process is a signal (exit 0, after what
is under way), or NATS away for longer than max_retries attempts (exit 1, so that Kubernetes starts it anew).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog

from kubeagent.bus.nats import NatsBus
from kubeagent.bus.port import Bus
from kubeagent.edge.commands import CommandLoop
from kubeagent.edge.executor.executor import Executor, Told
from kubeagent.edge.health import AgentState, HealthServer
from kubeagent.edge.identity import Identity, identify
from kubeagent.edge.presence import Presence
from kubeagent.edge.settings import AgentSettings
from kubeagent.errors import BusUnavailable, ConfigError
from kubeagent.kube.client import connect
from kubeagent.kube.port import Census
from kubeagent.telemetry import logs, tracing

log = structlog.get_logger()

T = TypeVar("T")

EXIT_OK: Final = 0
EXIT_GAVE_UP: Final = 1
FINISH: Final = 10.0
"""Seconds for what is under way when the process is told to stop."""


def run(settings: AgentSettings) -> int:
    """The entry of `kubeagent agent`. Raises ConfigError."""
    logs.configure("agent", settings.log_level)
    tracing.configure("kubeagent-agent", **{"k8s.cluster.name": settings.cluster_id or "unknown"})
    try:
        return asyncio.run(_main(settings))
    finally:
        tracing.shutdown()


async def _main(settings: AgentSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bus = NatsBus(settings.bus(), "kubeagent-agent", give_up_after=settings.max_retries)
    async with connect(settings.kube_context) as reader, bus:
        identity = await _or_stopped(identify(reader, settings.cluster_id), stop)
        if identity is None:
            return EXIT_OK
        return await serve(settings, bus, reader, identity, stop)


async def serve(settings: AgentSettings, bus: Bus, reader: Census, identity: Identity, stop: asyncio.Event) -> int:
    """Run all parts until `stop` is set; the exit code. The bus is the caller's to close."""
    structlog.contextvars.bind_contextvars(cluster_id=identity.cluster_id)
    state = AgentState(identity, lambda: bus.connected)
    health = HealthServer(state, settings.health_host, settings.health_port)
    try:
        await health.start()
    except OSError as exc:
        raise ConfigError(f"health_port {settings.health_port} cannot be used: {exc}") from exc
    log.info("the agent runs", cluster_uid=identity.cluster_uid, health_port=health.port)
    parts = asyncio.ensure_future(_parts(settings, bus, reader, state))
    code = EXIT_OK
    try:
        await _or_stopped(asyncio.shield(parts), stop)
    except* BusUnavailable as group:
        log.error("the agent ends: NATS is away for too long", reason=_first(group).args[0])
        code = EXIT_GAVE_UP
    finally:
        parts.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.wait([parts], timeout=FINISH)
        await health.close()
    log.info("the agent stops")
    return code


async def _parts(settings: AgentSettings, bus: Bus, reader: Census, state: AgentState) -> None:
    now: Callable[[], datetime] = _now
    executor = Executor(reader, lambda: Told(state.identity, state.facts.kubernetes_version, state.hub_ahead), now)
    presence = Presence(
        bus, reader, state, now, heartbeat=settings.heartbeat_interval, register_again=settings.register_interval
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(presence.run(), name="presence")
        group.create_task(CommandLoop(bus, executor, state).run(), name="commands")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _now() -> datetime:
    return datetime.now(UTC)


async def _or_stopped(work: Awaitable[T], stop: asyncio.Event) -> T | None:
    """The result of `work`, or None if `stop` came first (and then it is cancelled)."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, stopped):
            each.cancel()
