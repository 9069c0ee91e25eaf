"""What every bus does, asked of the fake and of a real nats-server alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from kubeagent.bus import streams
from kubeagent.bus.nats import NatsBus
from kubeagent.bus.port import Delivery, HubBus, Incoming
from kubeagent.bus.settings import BusSettings
from kubeagent.errors import BusUnavailable, MessageTooLarge, QueueFull
from tests.fakes.bus import Broker, FakeBus
from tests.fakes.nats_server import NatsServer

pytestmark = pytest.mark.contract

SECOND = timedelta(seconds=1)
PATIENCE = 15.0

MakeBus = Callable[[], Awaitable[HubBus]]


@pytest.fixture(params=["fake", "nats"])
async def make_bus(request: pytest.FixtureRequest) -> AsyncIterator[MakeBus]:
    """Connections to one server."""
    made: list[HubBus] = []
    if request.param == "fake":
        broker = Broker()

        async def fake() -> HubBus:
            made.append(FakeBus(broker))
            return made[-1]

        yield fake
        return
    with NatsServer() as server:

        async def real() -> HubBus:
            bus = NatsBus(BusSettings(servers=(server.url,), publish_timeout_seconds=3), "test", hub=not made)
            made.append(bus)
            await bus.connection()
            return bus

        yield real
        for bus in made:
            await bus.close()


async def first(deliveries: AsyncIterator[Delivery]) -> Delivery:
    return await asyncio.wait_for(anext(deliveries), PATIENCE)


async def test_a_command_waits_for_its_agent_and_comes_with_headers_and_the_time(make_bus: MakeBus) -> None:
    hub, edge = await make_bus(), await make_bus()
    assert hub.connected
    await hub.ensure_command_consumer("prod")
    await hub.publish("agent.command.prod", b"one", headers={"traceparent": "t"}, message_id="c1")
    delivery = await first(edge.consume(streams.COMMANDS, "prod"))
    assert (delivery.message.subject, delivery.message.data) == ("agent.command.prod", b"one")
    assert delivery.message.headers["traceparent"] == "t"
    assert delivery.message.received is not None
    assert delivery.attempt == 1
    await delivery.ack()


async def test_a_queue_that_does_not_exist_yet_is_waited_for(make_bus: MakeBus) -> None:
    hub, edge = await make_bus(), await make_bus()
    waiting = asyncio.ensure_future(first(edge.consume(streams.COMMANDS, "late")))
    await hub.publish("agent.command.late", b"one")
    await hub.ensure_command_consumer("late")
    await hub.ensure_command_consumer("late")
    assert (await waiting).message.data == b"one"


async def test_a_removed_queue_may_be_removed_again(make_bus: MakeBus) -> None:
    hub = await make_bus()
    await hub.ensure_command_consumer("gone")
    await hub.remove_command_consumer("gone")
    await hub.remove_command_consumer("gone")


async def test_one_message_id_is_stored_once(make_bus: MakeBus) -> None:
    hub = await make_bus()
    assert await hub.publish("agent.command.prod", b"one", message_id="same")
    assert not await hub.publish("agent.command.prod", b"two", message_id="same")
    assert await hub.publish("agent.command.prod", b"three", message_id="other")


async def test_another_clusters_commands_are_not_delivered(make_bus: MakeBus) -> None:
    hub, edge = await make_bus(), await make_bus()
    for cluster in ("prod", "other"):
        await hub.ensure_command_consumer(cluster)
        await hub.publish(f"agent.command.{cluster}", cluster.encode())
    assert (await first(edge.consume(streams.COMMANDS, "other"))).message.data == b"other"


async def test_a_full_queue_refuses_and_another_clusters_does_not(make_bus: MakeBus) -> None:
    hub = await make_bus()
    for number in range(streams.QUEUE_DEPTH):
        await hub.publish("agent.command.busy", str(number).encode())
    with pytest.raises(QueueFull):
        await hub.publish("agent.command.busy", b"one too many")
    assert await hub.publish("agent.command.idle", b"fine")


async def test_an_expired_command_is_not_delivered(make_bus: MakeBus) -> None:
    hub, edge = await make_bus(), await make_bus()
    await hub.ensure_command_consumer("prod")
    await hub.publish("agent.command.prod", b"short", ttl=SECOND)
    await asyncio.sleep(1.5)
    await hub.publish("agent.command.prod", b"long", ttl=60 * SECOND)
    assert (await first(edge.consume(streams.COMMANDS, "prod"))).message.data == b"long"


async def test_a_result_that_is_put_back_comes_again_and_one_that_is_dropped_does_not(
    make_bus: MakeBus,
) -> None:
    hub, edge = await make_bus(), await make_bus()
    await edge.publish("agent.result.prod", b"bad")
    await edge.publish("agent.result.prod", b"good")
    results = hub.consume(streams.RESULTS, streams.HUB_RESULTS)
    bad = await first(results)
    await bad.working()
    await bad.drop()
    good = await first(results)
    await good.retry(timedelta(milliseconds=100))
    again = await first(results)
    assert (again.message.data, again.attempt) == (b"good", 2)
    await again.ack()


async def test_two_hubs_share_the_results(make_bus: MakeBus) -> None:
    hub, other, edge = await make_bus(), await make_bus(), await make_bus()
    for number in range(20):
        await edge.publish("agent.result.prod", str(number).encode())
    seen: set[bytes] = set()
    all_seen = asyncio.Event()

    async def work(bus: HubBus) -> None:
        async for delivery in bus.consume(streams.RESULTS, streams.HUB_RESULTS):
            assert delivery.message.data not in seen
            seen.add(delivery.message.data)
            await delivery.ack()
            if len(seen) == 20:
                all_seen.set()

    workers = [asyncio.ensure_future(work(bus)) for bus in (hub, other)]
    await asyncio.wait_for(all_seen.wait(), PATIENCE)
    for worker in workers:
        worker.cancel()


async def test_a_request_is_answered_by_one_of_the_queue(make_bus: MakeBus) -> None:
    hub, other, edge = await make_bus(), await make_bus(), await make_bus()

    async def answer(message: Incoming) -> bytes:
        return b"to " + message.subject.encode() + b" " + message.data

    await hub.respond("agent.register.*", "hub", answer)
    await other.respond("agent.register.*", "hub", answer)
    reply = await edge.request("agent.register.prod", b"me", headers={"a": "b"}, timeout=5 * SECOND)
    assert reply.data == b"to agent.register.prod me"


async def test_a_plain_publish_reaches_the_responder_too(make_bus: MakeBus) -> None:
    hub, edge = await make_bus(), await make_bus()
    came: asyncio.Queue[Incoming] = asyncio.Queue()

    async def answer(message: Incoming) -> bytes:
        await came.put(message)
        return b"ignored"

    await hub.respond("agent.register.*", "hub", answer)
    async with asyncio.timeout(PATIENCE):
        while (
            came.empty()
        ):  # a server may take a moment to route to a new subscriber, and nobody confirms a plain publish
            await edge.notify("agent.register.seed", b"{}")
            await asyncio.sleep(0.05)
    assert came.get_nowait().subject == "agent.register.seed"


async def test_a_request_that_nobody_answers_ends(make_bus: MakeBus) -> None:
    edge = await make_bus()
    with pytest.raises(BusUnavailable):
        await edge.request("agent.register.prod", b"me", timeout=timedelta(milliseconds=300))


async def test_a_responder_that_fails_leaves_the_asker_without_an_answer(make_bus: MakeBus) -> None:
    hub, edge = await make_bus(), await make_bus()

    async def fail(message: Incoming) -> bytes:
        raise RuntimeError("a bug")

    await hub.respond("agent.register.*", "hub", fail)
    with pytest.raises(BusUnavailable):
        await edge.request("agent.register.prod", b"me", timeout=timedelta(milliseconds=500))


async def test_the_latest_heartbeat_of_each_cluster_and_then_the_new_ones(make_bus: MakeBus) -> None:
    hub, edge = await make_bus(), await make_bus()
    for beat in (b"1", b"2"):
        await edge.notify("agent.heartbeat.a", beat, headers={"Ka-Proto": "1"})
        await edge.notify("agent.heartbeat.b", beat)
    await asyncio.sleep(0.2)  # notify does not wait
    beats = hub.latest(streams.HEARTBEAT)
    got = [await asyncio.wait_for(anext(beats), PATIENCE) for _ in range(2)]
    assert {(each.subject, each.data) for each in got} == {
        ("agent.heartbeat.a", b"2"),
        ("agent.heartbeat.b", b"2"),
    }
    assert all(each.received for each in got)
    await edge.notify("agent.heartbeat.a", b"3")
    assert (await asyncio.wait_for(anext(beats), PATIENCE)).data == b"3"


@pytest.mark.parametrize("headers", [None, {"traceparent": "x" * 5000}])
async def test_what_is_too_large_is_refused_and_the_connection_lives(
    make_bus: MakeBus, headers: dict[str, str] | None
) -> None:
    edge = await make_bus()
    size = 900 * 1024 - (200 if headers else 0)
    with pytest.raises(MessageTooLarge):
        await edge.publish("agent.result.prod", b"x" * size, headers=headers)
    with pytest.raises(MessageTooLarge):
        await edge.notify("agent.heartbeat.prod", b"x" * size, headers=headers)
    assert await edge.publish("agent.result.prod", b"x" * (899 * 1024 - 6000), headers=headers)


async def test_a_subject_of_no_stream_cannot_be_stored(make_bus: MakeBus) -> None:
    edge = await make_bus()
    with pytest.raises(BusUnavailable):
        await edge.publish("agent.nonsense", b"x")


async def test_a_connection_has_a_number(make_bus: MakeBus) -> None:
    bus = await make_bus()
    assert await bus.connection() == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bus.connection(1), 0.1)


async def test_a_closed_bus_refuses(make_bus: MakeBus) -> None:
    bus = await make_bus()
    await bus.close()
    assert not bus.connected
    with pytest.raises(BusUnavailable):
        await bus.notify("agent.heartbeat.prod", b"x")
