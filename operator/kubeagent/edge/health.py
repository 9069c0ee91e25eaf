"""What the agent says about itself: the state that its parts write, and an HTTP server that shows it.

Live means that the loop runs; ready means that the hub has heard of us. A hub or NATS that is away makes the agent
not ready and never not live: a restart would not bring them back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from aiohttp import web

from kubeagent import __version__
from kubeagent.edge.collectors.cluster import ClusterFacts
from kubeagent.edge.identity import Identity
from kubeagent.telemetry.metrics import CollectorRegistry, Counter, Gauge, exposition

QUEUES: Final = ("event", "metrics", "command", "result")


class AgentState:
    """The facts about this process. `connected` asks the bus."""

    def __init__(self, identity: Identity, connected: Callable[[], bool], started: datetime | None = None) -> None:
        self.identity = identity
        self.connected = connected
        self.started = started or datetime.now(UTC)
        self.admitted = asyncio.Event()
        self.hub_ahead = timedelta(0)
        """By how much the hub's clock is ahead of ours."""
        self._registration = ""
        self.facts = ClusterFacts()
        self.commands_running = 0
        self.registry = CollectorRegistry()
        self._commands = Counter(
            "kubeagent_agent_commands", "Commands by outcome", ["cluster_id", "status"], registry=self.registry
        )
        self._gauges()

    @property
    def registration(self) -> str:
        """What the hub said last: accepted, pending or rejected; "" before it said anything."""
        return self._registration

    @registration.setter
    def registration(self, state: str) -> None:
        self._registration = state
        self.admitted.set() if state in ("accepted", "pending") else self.admitted.clear()

    @property
    def ready(self) -> bool:
        """Whether the hub knows us and the link is up."""
        return self.connected() and self.admitted.is_set()

    def count(self, outcome: str) -> None:
        """Count a command."""
        self._commands.labels(self.identity.cluster_id, outcome).inc()

    def uptime(self) -> float:
        """Seconds since the start."""
        return (datetime.now(UTC) - self.started).total_seconds()

    def _gauges(self) -> None:
        self._gauge("agent_running", "1 while the agent runs", lambda: 1)
        self._gauge("agent_connected", "1 while the agent is connected to NATS", lambda: int(self.connected()))
        self._gauge("agent_uptime_seconds", "Seconds since the start", self.uptime)
        for queue in QUEUES:
            waiting = (lambda: self.commands_running) if queue == "command" else (lambda: 0)
            self._gauge(f"agent_{queue}_queue_size", f"Waiting in the {queue} queue", waiting)

    def _gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        gauge = Gauge(name, text, ["cluster_id"], registry=self.registry)
        gauge.labels(self.identity.cluster_id).set_function(value)


def application(state: AgentState) -> web.Application:
    """The four endpoints."""

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if state.ready else web.Response(status=503, text=_why_not(state) + "\n")

    async def health(_: web.Request) -> web.Response:
        return web.Response(
            status=200 if state.ready else 503,
            body=msgspec.json.encode(_components(state)),
            content_type="application/json",
        )

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(state.registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics)
    return app


class HealthServer:
    """The HTTP server; `port` is the one it got."""

    def __init__(self, state: AgentState, host: str, port: int) -> None:
        self._runner = web.AppRunner(application(state), access_log=None)
        self._host = host
        self.port = port

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


def _why_not(state: AgentState) -> str:
    return f"registration is {state.registration or 'not answered'}" if state.connected() else "not connected to NATS"


def _components(state: AgentState) -> dict[str, object]:
    return {
        "status": "healthy" if state.ready else "unhealthy",
        "version": __version__,
        "cluster_id": state.identity.cluster_id,
        "cluster_uid": state.identity.cluster_uid,
        "uptime_seconds": round(state.uptime(), 1),
        "components": {
            "nats": "connected" if state.connected() else "disconnected",
            "registration": state.registration or "unknown",
            "kubernetes": state.facts.kubernetes_version or "unknown",
            "commands_running": state.commands_running,
        },
    }
