"""The bus against a real nats-server that is away, killed, restarted and hung."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import nats
import pytest

from kubeagent.bus import streams
from kubeagent.bus.nats import NatsBus
from kubeagent.bus.port import Incoming
from kubeagent.bus.settings import BusSettings
from kubeagent.errors import BusError, BusUnavailable
from tests.fakes.nats_server import NatsServer

PATIENCE = 40.0
T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[NatsServer]:
    found = NatsServer()
    yield found
    found.close()


def settings(server: NatsServer, **more: float) -> BusSettings:
    fast = {"backoff_seconds": 0.1, "max_backoff_seconds": 0.5, "probe_seconds": 0.5, "publish_timeout_seconds": 20}
    return BusSettings(servers=(server.url,), **{**fast, **more})


@pytest.fixture
async def hub(server: NatsServer) -> AsyncIterator[NatsBus]:
    async with NatsBus(settings(server), "hub", hub=True) as bus:
        yield bus


@pytest.fixture
async def edge(server: NatsServer) -> AsyncIterator[NatsBus]:
    async with NatsBus(settings(server), "edge") as bus:
        yield bus


async def within(awaitable: asyncio.Future[T]) -> T:
    return await asyncio.wait_for(awaitable, PATIENCE)


async def test_a_server_that_is_away_at_the_start_is_waited_for(server: NatsServer, hub: NatsBus) -> None:
    assert not hub.connected
    waiting = asyncio.ensure_future(hub.connection())
    await asyncio.sleep(0.5)
    server.start()
    assert await within(waiting) == 1


async def test_what_is_published_during_an_outage_is_stored_once(server: NatsServer, hub: NatsBus) -> None:
    server.start()
    await hub.connection()
    server.kill()
    publishing = [
        asyncio.ensure_future(hub.publish("agent.result.prod", str(number).encode(), message_id=str(number)))
        for number in range(20)
    ]
    await asyncio.sleep(1)
    server.start()
    assert all(await within(asyncio.ensure_future(asyncio.gather(*publishing))))
    results = hub.consume(streams.RESULTS, streams.HUB_RESULTS)
    got = {(await within(asyncio.ensure_future(anext(results)))).message.data for _ in range(20)}
    assert len(got) == 20
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(results), 1)


async def test_no_message_is_lost_when_the_server_is_killed_while_results_flow(
    server: NatsServer, hub: NatsBus, edge: NatsBus
) -> None:
    server.start()
    await hub.connection()
    seen: set[bytes] = set()
    complete = asyncio.Event()

    async def consume() -> None:
        async for delivery in hub.consume(streams.RESULTS, streams.HUB_RESULTS):
            seen.add(delivery.message.data)
            await delivery.ack()
            if len(seen) == 300:
                complete.set()

    async def produce(start: int) -> None:
        for number in range(start, start + 100):
            await edge.publish("agent.result.prod", str(number).encode(), message_id=str(number))

    consuming = asyncio.ensure_future(consume())
    producing = asyncio.ensure_future(asyncio.gather(*(produce(start) for start in (0, 100, 200))))
    while len(seen) < 50:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    server.kill()
    await asyncio.sleep(0.2)
    server.start()
    await within(producing)
    await asyncio.wait_for(complete.wait(), PATIENCE)
    consuming.cancel()


async def test_heartbeats_and_requests_work_again_after_a_restart(
    server: NatsServer, hub: NatsBus, edge: NatsBus
) -> None:
    server.start()

    async def answer(message: Incoming) -> bytes:
        return message.data

    await hub.respond("agent.register.*", "hub", answer)
    beats = hub.latest(streams.HEARTBEAT)
    await edge.connection()
    await edge.notify("agent.heartbeat.prod", b"before")
    assert (await asyncio.wait_for(anext(beats), PATIENCE)).data == b"before"
    server.restart()  # the memory stream is gone with it
    await asyncio.wait_for(hub.connection(1), PATIENCE)
    await asyncio.wait_for(edge.connection(1), PATIENCE)
    assert (await edge.request("agent.register.prod", b"again", timeout=timedelta(seconds=20))).data == b"again"
    await edge.notify("agent.heartbeat.prod", b"after")
    assert (await asyncio.wait_for(anext(beats), PATIENCE)).data == b"after"


async def test_a_server_that_hangs_is_noticed_and_left(
    server: NatsServer, edge: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeagent.bus.link.PING_TIMEOUT", 1)
    server.start()
    await edge.connection()
    server.pause()
    waiting = asyncio.ensure_future(edge.connection(1))
    while edge.connected:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    with pytest.raises(BusUnavailable):
        await edge.notify("agent.heartbeat.prod", b"x")
    server.resume()
    assert await within(waiting) == 2


async def test_after_enough_attempts_it_gives_up_if_told_to(server: NatsServer) -> None:
    async with NatsBus(settings(server), "edge", give_up_after=3) as bus:
        with pytest.raises(BusUnavailable, match="given up"):
            await asyncio.wait_for(bus.connection(), PATIENCE)
        with pytest.raises(BusUnavailable):
            await bus.request("agent.register.prod", b"", timeout=timedelta(seconds=1))


async def test_a_publication_ends_when_nats_stays_away(server: NatsServer) -> None:
    async with NatsBus(settings(server, publish_timeout_seconds=0.5), "edge") as bus:
        with pytest.raises(BusUnavailable, match="no connection to NATS"):
            await bus.publish("agent.result.prod", b"x")


async def test_wrong_credentials_are_tried_again_and_again(server: NatsServer) -> None:
    closed = NatsServer("--user", "u", "--pass", "right")
    with closed:
        wrong = BusSettings(servers=(closed.url,), user="u", password="wrong", backoff_seconds=0.1)
        async with NatsBus(wrong, "edge", give_up_after=3) as bus:
            with pytest.raises(BusUnavailable):
                await asyncio.wait_for(bus.connection(), PATIENCE)
        right = wrong.model_copy(update={"password": type(wrong.password)("right")})
        async with NatsBus(right, "edge") as bus:
            assert await asyncio.wait_for(bus.connection(), PATIENCE) == 1


async def test_a_plain_client_of_the_seeds_gets_commands_and_is_heard(server: NatsServer, hub: NatsBus) -> None:
    server.start()
    heard: asyncio.Queue[Incoming] = asyncio.Queue()

    async def answer(message: Incoming) -> bytes:
        await heard.put(message)
        return b"{}"

    await hub.respond("agent.register.*", "hub", answer)
    plain = await nats.connect(server.url)
    commands = await plain.subscribe("agent.command.seed")
    async with asyncio.timeout(PATIENCE):
        while heard.empty():
            await plain.publish("agent.register.seed", b'{"cluster_id":"seed"}')
            await asyncio.sleep(0.05)
    assert heard.get_nowait().data == b'{"cluster_id":"seed"}'
    await hub.publish("agent.command.seed", b"do", ttl=timedelta(seconds=60))
    assert (await commands.next_msg(timeout=PATIENCE)).data == b"do"
    await plain.publish("agent.result.seed", b"done")
    await plain.flush()
    delivery = await asyncio.wait_for(anext(hub.consume(streams.RESULTS, streams.HUB_RESULTS)), PATIENCE)
    assert (delivery.message.data, dict(delivery.message.headers)) == (b"done", {})
    await plain.close()


async def test_ensuring_repeats_and_repairs_but_does_not_hide_what_it_cannot(server: NatsServer) -> None:
    server.start()
    client = await nats.connect(server.url)
    js = client.jetstream()
    await streams.ensure_streams(js)
    changed = streams.stream_config(streams.stream(streams.EVENTS))
    changed.max_age = 60.0
    changed.duplicate_window = 30.0
    await js.update_stream(changed)
    await streams.ensure_streams(js)
    assert (await js.stream_info(streams.EVENTS)).config.max_age == 72 * 3600
    await js.delete_stream(streams.METRICS)
    await js.add_stream(name=streams.METRICS, subjects=["agent.metrics.*"], storage="file")
    with pytest.raises(BusError, match=streams.METRICS):
        await streams.ensure_streams(js)
    await client.close()


@pytest.mark.parametrize("name", ["tls_ca_file", "nkey_file", "creds_file"])
async def test_a_bad_file_is_a_failed_attempt_and_heals(
    server: NatsServer, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It used to end the supervisor, and everybody waited for ever."""
    server.start()
    bad = tmp_path / "bad"
    bad.write_text("nonsense")
    bus = NatsBus(settings(server).model_copy(update={name: bad}), "edge")
    bus.start()
    await asyncio.sleep(0.5)
    assert bus._link._task is not None
    assert not bus._link._task.done()
    bus._link._settings = settings(server)
    await within(asyncio.ensure_future(bus.connection()))
    await bus.close()
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_a_tls_url_is_not_served_in_the_clear(server: NatsServer) -> None:
    server.start()
    secure = settings(server).model_copy(update={"servers": (server.url.replace("nats://", "tls://"),)})
    bus = NatsBus(secure, "edge")
    bus.start()
    await asyncio.sleep(1)
    assert not bus.connected
    await bus.close()


async def test_closing_at_the_very_moment_of_a_probe_ends(server: NatsServer) -> None:
    """A cancellation that met the end of the probe's pause was lost, and close waited for ever."""
    server.start()
    for _ in range(20):
        bus = NatsBus(settings(server).model_copy(update={"probe_seconds": 0.05}), "edge")
        await within(asyncio.ensure_future(bus.connection()))
        await asyncio.sleep(0.05)
        await within(asyncio.ensure_future(bus.close()))
