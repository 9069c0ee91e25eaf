"""The hub put together: what talks to what, and the few loops that run beside kopf.

kopf brings events about our kinds; everything else happens here: heartbeats, registrations and results from the bus,
and one sweep that serves every due time. Nothing here knows kopf.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from kubeagent.bus.port import HubBus
from kubeagent.hub.background import Bell, keep
from kubeagent.hub.clock import Clock, SteadyClock, utc_now
from kubeagent.hub.clusters import Clusters
from kubeagent.hub.dispatch import Dispatcher
from kubeagent.hub.fleet import Fleet
from kubeagent.hub.guard import Guard
from kubeagent.hub.inbox import Inbox
from kubeagent.hub.judging import Judging
from kubeagent.hub.leadership import Leadership
from kubeagent.hub.metrics import Metrics
from kubeagent.hub.queues import Queues
from kubeagent.hub.registrar import Registrar
from kubeagent.hub.runbooks import Runbooks
from kubeagent.hub.settings import HubSettings
from kubeagent.hub.store import Kube
from kubeagent.hub.tasks import Tasks

STOP_SECONDS: Final = 5.0


class Hub:
    """One hub. `kube` and `bus` are opened and closed by whoever made them."""

    def __init__(
        self,
        settings: HubSettings,
        kube: Kube,
        bus: HubBus,
        own_uid: str,
        guard: Guard,
        judging: Judging,
        leadership: Leadership,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()
        clock = clock or SteadyClock()
        self.bus = bus
        self.leadership = leadership
        self.metrics = Metrics()
        self._kube, self._guard, self._clock, self._rng = kube, guard, clock, rng
        self._bell = Bell()
        self._queues = Queues(bus)
        self._fleet = Fleet(clock(), settings.heartbeat_timeout)
        self.clusters = Clusters(kube, self._queues, self._fleet, self.metrics, clock, rng, self._bell)
        dispatcher = Dispatcher(bus, self._queues, self.metrics, clock)
        self.tasks = Tasks(
            kube, self.clusters, guard, dispatcher, judging, self.metrics, clock, rng, self._bell, settings.timing
        )
        self.runbooks = Runbooks(kube, clock, rng)
        self.registrar = Registrar(self.clusters, self._fleet, self.metrics, clock, own_uid)
        self.inbox = Inbox(bus, self.tasks, self.clusters, self.registrar, self.metrics, clock)
        self.clusters.on_change = self.tasks.wake
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin the loops."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "leadership": lambda: self.leadership.follow(self._kube, utc_now),
            "connections": self._connections,
            "registrations": self._registrations,
            "heartbeats": self.inbox.heartbeats,
            "results": self._results,
            "sweep": self._sweeps,
        }
        self._running = [
            asyncio.create_task(keep(name, loop, self._rng), name=f"hub-{name}") for name, loop in loops.items()
        ]

    async def stop(self) -> None:
        """End the loops; a result under way that was not acknowledged comes again."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_SECONDS)
        self._running = []

    async def sweep(self) -> None:
        """Serve everything that is due, once."""
        connected = self.bus.connected
        self._fleet.connection(connected=connected, now=self._clock())
        self.metrics.connected.set(1 if connected else 0)
        if not self.leadership.leads:
            return
        await self._guard.in_force()  # so that a new task finds a fresh answer
        await self.registrar.sweep()
        await self.clusters.sweep()
        await self.tasks.sweep()
        await self.runbooks.sweep()
        self.clusters.count()

    async def _sweeps(self) -> None:
        while True:
            await self._bell.wait()
            await self.sweep()

    async def _connections(self) -> None:
        """Whatever a new connection may have changed is looked at again."""
        number = 0
        while True:
            number = await self.bus.connection(number)
            self._fleet.reconnected(self._clock())
            self._queues.reconnected()
            self.clusters.recheck()
            self.tasks.wake_all()

    async def _registrations(self) -> None:
        await self.inbox.registrations()
        await asyncio.Event().wait()

    async def _results(self) -> None:
        """Take results only while this hub leads: the other one has seen tasks that this one has not."""
        while True:
            await self.leadership.gained()
            taking = asyncio.create_task(self.inbox.results(self._clock()))
            losing = asyncio.create_task(self.leadership.lost())
            try:
                await asyncio.wait({taking, losing}, return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    await taking
            finally:
                taking.cancel()
                losing.cancel()
                await asyncio.gather(taking, losing, return_exceptions=True)
