"""Results from the bus: acknowledged when their effect is stored, dropped and counted when they cannot be."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from kubeagent.bus.port import Incoming
from kubeagent.errors import BusUnavailable
from kubeagent.protocol.evidence import PodLog
from kubeagent.protocol.messages import HEADER_CLUSTER_UID, HEADER_ENCODING, HEADER_MSG_ID, Heartbeat, encode
from tests.unit.hub.given import (
    EU_UID,
    FIRST,
    NOW,
    UID,
    World,
    agent,
    conditions,
    evidence,
    incoming,
    message,
    result,
    wire,
)

LONG_AGO = NOW - timedelta(hours=1)


class Word:
    """A delivery that remembers what was said about it."""

    def __init__(self, message: Incoming, attempt: int = 1) -> None:
        self.message = message
        self.attempt = attempt
        self.words: list[str] = []

    async def ack(self) -> None:
        self.words.append("ack")

    async def retry(self, after: timedelta) -> None:
        self.words.append(f"retry {after.total_seconds():g}")

    async def drop(self) -> None:
        self.words.append("drop")

    async def working(self) -> None:
        self.words.append("working")


async def deliver(world: World, message: Incoming, since: datetime = LONG_AGO, attempt: int = 1) -> list[str]:
    word = Word(message, attempt)
    await world.hub.inbox._guarded(word, since)
    return word.words


def answer(cluster: str = "prod-eu", headers: dict[str, str] | None = None, **fields: Any) -> Incoming:
    data, encoded = wire(result(cluster=fields.pop("says", cluster), **fields))
    return incoming("result", cluster, data, {**encoded, **(headers or {})})


def dropped(world: World, reason: str) -> float:
    return world.hub.metrics.registry.get_sample_value("kubeagent_messages_dropped_total", {"reason": reason}) or 0.0


async def ready() -> World:
    world = World()
    await world.has_cluster()
    await world.apply()
    return world


async def test_a_result_is_acknowledged_after_its_verdict_is_stored() -> None:
    world = await ready()
    assert await deliver(world, answer()) == ["ack"]
    assert world.stored()["status"]["phase"] == "Succeeded"
    assert world.stored()["status"]["usage"]["bytes"] > 0


async def test_a_large_compressed_result() -> None:
    world = await ready()
    logs = (PodLog("shop", "checkout-1", "app", text="connection refused\n" * 20_000),)
    message_ = answer(evidence=evidence(logs=logs))
    assert message_.headers[HEADER_ENCODING] == "zlib"
    assert await deliver(world, message_) == ["ack"]
    assert world.judged[0].logs == logs


async def test_it_is_not_acknowledged_while_the_verdict_cannot_be_stored() -> None:
    world = await ready()
    world.kube.down = True
    assert await deliver(world, answer()) == ["retry 0.5"]
    assert await deliver(world, answer(), attempt=4) == ["retry 4"]
    assert await deliver(world, answer(), attempt=400) == ["retry 60"]

    world.kube.down = False
    assert await deliver(world, answer(), attempt=5) == ["ack"]
    assert world.stored()["status"]["phase"] == "Succeeded"


async def test_a_second_delivery_is_acknowledged_and_changes_nothing() -> None:
    world = await ready()
    await deliver(world, answer())
    done = world.stored()
    assert await deliver(world, answer(), attempt=2) == ["ack"]
    assert world.stored() == done
    assert dropped(world, "late-result") == 1


async def test_a_result_of_another_cluster_is_dropped() -> None:
    world = await ready()
    await world.has_cluster("prod-us", uid="us")
    assert await deliver(world, answer("prod-us", evidence=evidence(cluster_uid=""))) == ["drop"]
    assert dropped(world, "foreign-result") == 1
    assert world.stored()["status"]["phase"] == "Diagnosing"


@pytest.mark.parametrize(
    "message_",
    [
        answer(says="prod-us"),
        answer(cluster_uid="another"),
        answer(headers={HEADER_CLUSTER_UID: "another"}),
        answer(cluster_uid="", headers={HEADER_CLUSTER_UID: "another"}),
        answer(cluster_uid=""),
        incoming("result", "prod-eu", b"\x00\x01garbage"),
        incoming("result", "prod-eu", b""),
        incoming("result", "prod-eu", b"[]"),
        incoming("result", "prod-eu", b'{"command_id": "x"}', {HEADER_ENCODING: "rot13"}),
        Incoming("agent.result.*", encode(result()), {}),
        Incoming("agent.command.prod-eu", encode(result()), {}),
    ],
    ids=[
        "says-another",
        "uid",
        "two-uids",
        "uid-header",
        "no-uid",
        "garbage",
        "empty",
        "list",
        "encoding",
        "star",
        "channel",
    ],
)
async def test_what_cannot_be_believed_is_dropped_and_counted(message_: Incoming) -> None:
    world = await ready()
    before = world.stored()
    assert await deliver(world, message_) in (["drop"], ["ack"])
    assert dropped(world, "bad-result") + dropped(world, "not-a-task") == 1
    assert world.stored() == before


@pytest.mark.parametrize(
    "broken",
    [
        incoming("result", "prod-eu", encode(result())[:-40]),
        incoming("result", "prod-eu", b"\x78\x01 no zlib", {HEADER_ENCODING: "zlib", HEADER_MSG_ID: f"{FIRST}:final"}),
        incoming("result", "prod-eu", b"{}", {HEADER_MSG_ID: f"{FIRST}:final"}),
    ],
    ids=["truncated", "damaged", "empty-object"],
)
async def test_a_broken_reply_that_names_its_command_is_shown_and_tried_again(broken: Incoming) -> None:
    world = await ready()
    assert await deliver(world, broken) == ["ack"]
    assert conditions(world.stored())["EvidenceCollected"] == ("False", "BadReply")
    assert "the reply cannot be used" in message(world.stored(), "EvidenceCollected")
    world.clock.forward(2)
    await world.hub.sweep()
    assert len(world.commands()) == 2


async def test_a_broken_reply_of_another_cluster_is_dropped() -> None:
    world = await ready()
    await world.has_cluster("prod-us", uid="us")
    broken = incoming("result", "prod-us", b"{}", {HEADER_MSG_ID: f"{FIRST}:final"})
    assert await deliver(world, broken) == ["drop"]
    assert "EvidenceCollected" in conditions(world.stored())
    assert conditions(world.stored())["EvidenceCollected"] == ("Unknown", "Pending")


async def test_a_result_that_no_task_asked_for() -> None:
    world = await ready()
    assert await deliver(world, answer(command_id="cmd-67890")) == ["drop"]
    assert dropped(world, "not-a-task") == 1


async def test_a_task_that_was_not_seen_yet_is_waited_for_and_then_given_up() -> None:
    world = World()
    await world.has_cluster()
    assert await deliver(world, answer(), since=NOW) == ["retry 0.5"]
    world.clock.forward(121)
    assert await deliver(world, answer(), since=NOW) == ["drop"]
    assert dropped(world, "unknown-task") == 1


async def test_an_agent_that_cannot_is_an_answer() -> None:
    world = await ready()
    denied = answer(status="denied", code="KA-COMMAND-DENIED", error="whitelist: no such tool")
    assert await deliver(world, denied) == ["ack"]
    assert conditions(world.stored())["Diagnosed"] == ("False", "CommandDenied")
    assert conditions(world.stored())["Succeeded"] == ("True", "Undetermined")


async def test_a_bug_in_one_result_does_not_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await ready()

    async def bug(*_: Any) -> None:
        raise RuntimeError("a bug")

    world.hub.tasks.answered = bug  # type: ignore[method-assign,assignment]
    assert await deliver(world, answer()) == ["retry 0.5"]


async def test_a_word_that_cannot_be_sent_is_not_needed() -> None:
    world = await ready()
    world.kube.down = True

    class Mute(Word):
        async def retry(self, after: timedelta) -> None:
            raise BusUnavailable("gone")

    await world.hub.inbox._guarded(Mute(answer()), LONG_AGO)


async def test_through_the_loops_from_registration_to_verdict() -> None:
    """The whole hub over the fake bus: everything that an agent sends, and nothing called by hand."""
    world = World()
    await world.has_cluster(beats=False)
    world.hub.start()
    try:
        async with asyncio.timeout(20):
            await until(lambda: bool(world.broker.responders))
            await world.bus.notify("agent.register.prod-us", encode(agent("prod-us", "us")))
            await until(lambda: any(key.name == "prod-us" for key in world.kube.objects))
            data, headers = wire(result())
            await world.bus.publish("agent.heartbeat.prod-eu", heartbeat())
            await until(lambda: "Available" in conditions(world.cluster()))
            await until(lambda: conditions(world.cluster())["Available"][0] == "True")
            await world.apply()
            await world.bus.publish("agent.result.prod-eu", data, headers=headers, message_id=f"{FIRST}:final")
            await until(lambda: world.stored()["status"]["phase"] == "Succeeded")
    finally:
        await world.hub.stop()


def heartbeat() -> bytes:
    return encode(Heartbeat(cluster_id="prod-eu", timestamp=NOW, cluster_uid=EU_UID))


async def until(done: Any) -> None:
    while not done():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


async def test_a_hub_that_stands_by_leaves_results_to_the_other() -> None:
    world = await ready()
    world.hub.leadership._set(False)
    world.hub.start()
    try:
        data, headers = wire(result())
        await world.bus.publish("agent.result.prod-eu", data, headers=headers, message_id=f"{FIRST}:final")
        for _ in range(50):
            await asyncio.sleep(0)
        assert world.broker.queues["KA_RESULTS", "hub-results"].position == 0
        world.hub.leadership._set(True)
        async with asyncio.timeout(20):
            await until(lambda: world.stored()["status"]["phase"] == "Succeeded")
        world.hub.leadership._set(False)
        await asyncio.sleep(0)
    finally:
        await world.hub.stop()
    assert world.hub.tasks.book.get(UID) is not None
