"""Registration until it is answered, again on each connection and after a while, and heartbeats only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from kubeagent.bus.port import Incoming
from kubeagent.edge import presence
from kubeagent.edge.health import AgentState
from kubeagent.edge.identity import Identity
from kubeagent.edge.presence import Presence
from kubeagent.protocol import messages
from kubeagent.protocol.messages import Heartbeat, RegisterReply
from tests.fakes.bus import FakeBus
from tests.fakes.kube import FakeCluster
from tests.fakes.waiting import until

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class Scene:
    """A presence and the hub that it talks to."""

    def __init__(self) -> None:
        self.bus = FakeBus()
        self.cluster = FakeCluster()
        self.state = AgentState(Identity("prod", "uid"), lambda: self.bus.connected, NOW)
        self.answers: list[bytes] = []
        self.asked = 0

    def begin(self, again: timedelta = timedelta(hours=1)) -> asyncio.Task[None]:
        tiny = timedelta(milliseconds=5)
        parts = Presence(self.bus, self.cluster, self.state, lambda: NOW, heartbeat=tiny, register_again=again)
        return asyncio.get_running_loop().create_task(parts.run())

    async def answer(self, _: Incoming) -> bytes:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def beats(self) -> list[Heartbeat]:
        sent = [each for each in self.bus.sent if each.subject == "agent.heartbeat.prod"]
        return [messages.decode(each.data, Heartbeat) for each in sent]


def reply(state: str) -> bytes:
    return messages.encode(RegisterReply(state=state))


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(presence, "MAX_PAUSE", 0.1)
    monkeypatch.setattr(presence, "FACTS_EVERY", 0.01)
    found = Scene()
    await found.bus.respond("agent.register.*", "hub", found.answer)
    yield found
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_it_asks_until_the_answer_is_one_that_counts(scene: Scene) -> None:
    scene.answers = [b"garbage", reply("rejected"), reply("pending")]
    running = scene.begin()
    await until(lambda: scene.state.registration == "rejected")
    assert scene.beats == []
    await until(lambda: len(scene.beats) > 1)
    assert scene.state.registration == "pending"
    running.cancel()


async def test_it_registers_again_after_a_while_and_on_a_new_connection(scene: Scene) -> None:
    scene.answers = [reply("accepted")]
    running = scene.begin(again=timedelta(milliseconds=20))
    await until(lambda: scene.asked >= 3)
    running.cancel()
    before = scene.asked
    running = scene.begin()
    await until(lambda: scene.asked == before + 1)
    await scene.bus.lose()
    await scene.bus.find()
    await until(lambda: scene.asked == before + 2)
    running.cancel()


async def test_a_cluster_that_is_down_makes_the_heartbeat_degraded_and_keeps_the_version(scene: Scene) -> None:
    scene.answers = [reply("accepted")]
    running = scene.begin()
    await until(lambda: bool(scene.beats))
    assert (scene.beats[0].status, scene.beats[0].nodes, scene.beats[0].kubernetes_version) == ("healthy", 0, "v1.34.4")
    scene.cluster.down = True
    await until(lambda: scene.beats[-1].status == "degraded")
    assert (scene.beats[-1].nodes, scene.beats[-1].kubernetes_version) == (None, "v1.34.4")
    running.cancel()


async def test_an_outage_does_not_end_it(scene: Scene) -> None:
    scene.answers = [reply("accepted")]
    running = scene.begin()
    await until(lambda: bool(scene.beats))
    await scene.bus.lose()
    await asyncio.sleep(0.05)
    count = len(scene.beats)
    await scene.bus.find()
    await until(lambda: len(scene.beats) > count)
    assert not running.done()
    running.cancel()


async def test_it_notes_by_how_much_the_hubs_clock_is_ahead(scene: Scene) -> None:
    scene.answers = [messages.encode(RegisterReply(state="accepted", server_time=NOW + timedelta(minutes=10)))]
    running = scene.begin()
    await until(lambda: scene.state.admitted.is_set())
    assert scene.state.hub_ahead == timedelta(minutes=10)
    running.cancel()
