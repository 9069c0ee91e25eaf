"""Keeps the hub informed that we exist: registration on every connection and every few minutes, and heartbeats.

Registration is a request, repeated until the hub answers; a hub that only listens to the plain publish of the seeds
hears it all the same. Heartbeats are fire and forget: the next one is never far.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from kubeagent import __version__
from kubeagent.bus.port import Bus
from kubeagent.edge.collectors.cluster import cluster_facts
from kubeagent.edge.health import AgentState
from kubeagent.errors import BadMessage, BusError
from kubeagent.kube.port import Census
from kubeagent.protocol import messages
from kubeagent.protocol.messages import AgentInfo, Heartbeat, QueueSizes, RegisterReply
from kubeagent.protocol.subjects import Channel, subject

log = structlog.get_logger()

CAPABILITIES: Final = ["command_execute", messages.CAPABILITY_EVIDENCE]
REPLY_TIMEOUT: Final = timedelta(seconds=5)
MAX_PAUSE: Final = 30.0
FACTS_EVERY: Final = 60.0


class Presence:
    """Registers and beats until it is cancelled."""

    def __init__(
        self,
        bus: Bus,
        reader: Census,
        state: AgentState,
        now: Callable[[], datetime],
        *,
        heartbeat: timedelta,
        register_again: timedelta,
    ) -> None:
        self._bus = bus
        self._reader = reader
        self._state = state
        self._now = now
        self._heartbeat = heartbeat
        self._again = register_again
        self._registered = asyncio.Event()

    async def run(self) -> None:
        """Raises BusUnavailable when the bus was given up."""
        await self._look()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_registering())
            group.create_task(self._keep_beating())
            group.create_task(self._keep_looking())

    async def _keep_registering(self) -> None:
        number = 0
        while True:
            number = await self._bus.connection()
            await self._register()
            try:
                async with asyncio.timeout(self._again.total_seconds()):
                    await self._bus.connection(after=number)
            except TimeoutError:
                continue  # the same connection: time to register again, in case the hub forgot us

    async def _register(self) -> None:
        pause = 0.5
        while not await self._try_to_register():
            await asyncio.sleep(random.uniform(0.1, pause))
            pause = min(pause * 2, MAX_PAUSE)
            await self._bus.connection()
        self._registered.set()

    async def _try_to_register(self) -> bool:
        """Whether the hub answered; a rejection is asked about again, for a person may change it."""
        info = messages.encode(self._info())
        try:
            answer = await self._bus.request(
                self._subject("register"), info, headers=self._headers(), timeout=REPLY_TIMEOUT
            )
            reply = messages.decode(answer.data, RegisterReply)
        except (BusError, BadMessage) as exc:
            log.warning("the hub does not answer the registration", reason=exc.message)
            return False
        if reply.state != self._state.registration:
            log.info("registered with the hub", state=reply.state, reason=reply.reason)
        self._state.registration = reply.state
        if reply.server_time is not None:
            self._state.hub_ahead = reply.server_time - self._now()
        return self._state.admitted.is_set()

    async def _keep_beating(self) -> None:
        await self._registered.wait()
        while True:
            try:
                await self._bus.notify(
                    self._subject("heartbeat"), messages.encode(self._beat()), headers=self._headers()
                )
            except BusError as exc:
                log.debug("a heartbeat was not sent", reason=exc.message)
            await asyncio.sleep(self._heartbeat.total_seconds())

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(FACTS_EVERY)
            await self._look()

    async def _look(self) -> None:
        facts = await cluster_facts(self._reader)
        if not facts.kubernetes_version:
            facts = facts._replace(kubernetes_version=self._state.facts.kubernetes_version)
        self._state.facts = facts

    def _info(self) -> AgentInfo:
        facts, identity = self._state.facts, self._state.identity
        return AgentInfo(
            cluster_id=identity.cluster_id,
            version=__version__,
            start_time=self._state.started,
            capabilities=CAPABILITIES,
            cluster_uid=identity.cluster_uid,
            kubernetes_version=facts.kubernetes_version,
            protocol=[messages.PROTOCOL, messages.PROTOCOL],
            nodes=facts.nodes,
            pods=facts.pods,
        )

    def _beat(self) -> Heartbeat:
        facts, identity = self._state.facts, self._state.identity
        return Heartbeat(
            cluster_id=identity.cluster_id,
            timestamp=self._now(),
            status="healthy" if facts.nodes is not None else "degraded",
            metrics=QueueSizes(command_queue_size=self._state.commands_running),
            cluster_uid=identity.cluster_uid,
            version=__version__,
            kubernetes_version=facts.kubernetes_version,
            nodes=facts.nodes,
            pods=facts.pods,
        )

    def _subject(self, channel: Channel) -> str:
        return subject(channel, self._state.identity.cluster_id)

    def _headers(self) -> dict[str, str]:
        uid = self._state.identity.cluster_uid
        headers = {messages.HEADER_PROTOCOL: str(messages.PROTOCOL)}
        return {**headers, messages.HEADER_CLUSTER_UID: uid} if uid else headers
