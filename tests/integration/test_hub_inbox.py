"""The hub over a real NATS: registrations by request and by plain publish, results that outlive a hub and a NATS.

The API server is in memory here; everything on the bus is real, the agent's side too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from kubeagent.bus.nats import NatsBus
from kubeagent.bus.settings import BusSettings
from kubeagent.hub.hub import Hub
from kubeagent.hub.judging import Judging
from kubeagent.hub.leadership import Leadership
from kubeagent.hub.settings import HubSettings
from kubeagent.protocol.messages import Command, Heartbeat, RegisterReply, decode, encode
from tests.fakes.kube import KUBE_SYSTEM_UID, FakeCluster
from tests.fakes.nats_server import NatsServer
from tests.unit.hub.given import (
    EU_UID,
    FIRST,
    FOUND,
    UID,
    FakeGuard,
    agent,
    cluster_body,
    conditions,
    result,
    task_body,
    wire,
)

PATIENCE = 45


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


def settings(server: NatsServer) -> BusSettings:
    return BusSettings(servers=(server.url,), backoff_seconds=0.1, max_backoff_seconds=0.5, probe_seconds=1.0)


@asynccontextmanager
async def hub_over(server: NatsServer, kube: FakeCluster) -> AsyncIterator[Hub]:
    """A hub process, as far as NATS can tell."""
    async with NatsBus(settings(server), "hub", hub=True) as bus:
        hub = Hub(
            HubSettings(),
            kube,
            bus,
            KUBE_SYSTEM_UID,
            FakeGuard(),
            Judging(lambda _: FOUND, lambda given: given),
            Leadership("hub", 1, peering=False),
            rng=random.Random(1),
        )
        hub.start()
        try:
            for body in list(kube.objects.values()):
                if body["kind"] == "ManagedCluster":
                    await hub.clusters.seen(body)
                if body["kind"] == "DiagnosisTask":
                    await hub.tasks.seen(body)
            yield hub
        finally:
            await hub.stop()


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not done():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def found(kube: FakeCluster, kind: str) -> dict[str, dict[str, tuple[str, str]]]:
    """The conditions of every object of a kind, by name."""
    return {key.name: conditions(body) for key, body in kube.objects.items() if key.kind == kind}


def phase(kube: FakeCluster) -> str:
    return next(
        str(body.get("status", {}).get("phase", ""))
        for key, body in kube.objects.items()
        if key.kind == "DiagnosisTask"
    )


async def beat(bus: NatsBus, name: str = "prod-eu", uid: str = EU_UID) -> None:
    heartbeat = Heartbeat(cluster_id=name, timestamp=datetime.now(UTC), cluster_uid=uid)
    await bus.notify(f"agent.heartbeat.{name}", encode(heartbeat))


async def become_available(bus: NatsBus, kube: FakeCluster) -> None:
    """Beat until the hub has heard it: the first beats may come before it has made its streams."""
    async with asyncio.timeout(PATIENCE):
        while found(kube, "ManagedCluster")["prod-eu"].get("Available", ("",))[0] != "True":
            await beat(bus)
            await asyncio.sleep(0.1)


async def answer(bus: NatsBus, command: str = FIRST) -> None:
    data, headers = wire(result(command))
    await bus.publish("agent.result.prod-eu", data, headers=headers, message_id=f"{command}:final")


async def next_command(bus: NatsBus) -> Command:
    async with asyncio.timeout(PATIENCE):
        async for delivery in bus.consume("KA_COMMANDS", "prod-eu"):
            await delivery.ack()
            return decode(delivery.message.data, Command)
    raise AssertionError("unreachable")


async def test_registration_by_request_and_by_plain_publish(server: NatsServer) -> None:
    kube = FakeCluster()
    async with hub_over(server, kube), NatsBus(settings(server), "agent") as edge:
        message = encode(agent())
        reply = await edge.request("agent.register.prod-eu", message, timeout=timedelta(seconds=PATIENCE))
        assert decode(reply.data, RegisterReply).state == "pending"

        await edge.notify("agent.register.prod-us", encode(agent("prod-us", "")))
        await until(lambda: "prod-us" in found(kube, "ManagedCluster"))

        impostor = encode(agent(uid="another"))
        reply = await edge.request("agent.register.prod-eu", impostor, timeout=timedelta(seconds=PATIENCE))
        assert decode(reply.data, RegisterReply).state == "rejected"
        await until(lambda: found(kube, "ManagedCluster")["prod-eu"].get("IdentityConflict"))


async def test_from_heartbeat_to_verdict(server: NatsServer) -> None:
    kube = FakeCluster(cluster_body())
    async with hub_over(server, kube) as hub, NatsBus(settings(server), "agent") as edge:
        await edge.connection()
        await become_available(edge, kube)

        await hub.tasks.seen(kube.add(task_body()))
        command = await next_command(edge)
        assert command.id == FIRST
        await answer(edge)
        await until(lambda: phase(kube) == "Succeeded")


async def test_a_result_that_came_while_no_hub_ran_is_taken_by_the_next(server: NatsServer) -> None:
    kube = FakeCluster(cluster_body())
    async with NatsBus(settings(server), "agent") as edge:
        async with hub_over(server, kube) as hub:
            await edge.connection()
            await become_available(edge, kube)
            await hub.tasks.seen(kube.add(task_body()))
            await next_command(edge)
        await answer(edge)

        async with hub_over(server, kube):
            await until(lambda: phase(kube) == "Succeeded")


async def test_a_result_is_delivered_again_until_its_verdict_is_stored(server: NatsServer) -> None:
    kube = FakeCluster(cluster_body())
    async with hub_over(server, kube) as hub, NatsBus(settings(server), "agent") as edge:
        await edge.connection()
        await become_available(edge, kube)
        await hub.tasks.seen(kube.add(task_body()))
        await next_command(edge)

        kube.down = True
        await answer(edge)
        await asyncio.sleep(0.3)
        assert phase(kube) == "Diagnosing"
        kube.down = False
        await until(lambda: phase(kube) == "Succeeded")


async def test_a_restarted_nats_loses_nothing(server: NatsServer) -> None:
    kube = FakeCluster(cluster_body())
    async with hub_over(server, kube) as hub, NatsBus(settings(server), "agent") as edge:
        await edge.connection()
        await become_available(edge, kube)
        await hub.tasks.seen(kube.add(task_body()))
        await next_command(edge)

        server.kill()
        await until(lambda: not hub.bus.connected)
        waiting = asyncio.create_task(answer(edge))
        server.start()
        await waiting
        await until(lambda: phase(kube) == "Succeeded")
        assert found(kube, "ManagedCluster")["prod-eu"]["Available"][0] == "True"


async def test_a_second_hub_after_a_crash_does_not_send_twice(server: NatsServer) -> None:
    """Killed between publishing and recording: the command is in the stream, and the status knows nothing of it."""
    kube = FakeCluster(cluster_body())
    async with NatsBus(settings(server), "agent") as edge:
        async with hub_over(server, kube) as hub:
            await edge.connection()
            await become_available(edge, kube)
            await hub.tasks.seen(kube.add(task_body()))
        task = next(body for key, body in kube.objects.items() if key.kind == "DiagnosisTask")
        del task["status"]

        async with hub_over(server, kube) as hub:
            await become_available(edge, kube)
            await until(lambda: phase(kube) == "Diagnosing")
            duplicates = {"cluster_id": "prod-eu", "status": "duplicate"}
            count = hub.metrics.registry.get_sample_value("aetherius_agent_commands_total", duplicates)
            assert count == 1
            assert (await next_command(edge)).id == f"{UID}-evidence-1"
