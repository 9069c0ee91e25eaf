"""The command loop on fakes: what is answered, what is dropped, and what is never run twice."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from kubeagent.bus import streams
from kubeagent.bus.port import Delivery, Incoming
from kubeagent.edge import commands
from kubeagent.edge.commands import CommandLoop
from kubeagent.edge.executor.executor import Executor, Told
from kubeagent.edge.executor.memory import MAX_BYTES, MAX_RESULTS, Memory, Packed
from kubeagent.edge.executor.render import MAX_OUTPUT, render
from kubeagent.edge.health import AgentState
from kubeagent.edge.identity import Identity
from kubeagent.errors import BusUnavailable
from kubeagent.protocol import messages
from kubeagent.protocol.encoding import unpack
from kubeagent.protocol.evidence import Evidence, PodLog
from kubeagent.protocol.messages import Command, CommandResult, EvidenceRequest
from kubeagent.protocol.reads import Log
from kubeagent.resources.refs import ObjectKey
from tests.fakes.bus import FakeBus, FakeDelivery
from tests.fakes.kube import KUBE_SYSTEM_UID, FakeCluster
from tests.fakes.waiting import until

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "app", "env": [{"name": "DB_PASSWORD", "value": "canary"}]}]},
}


class Scene:
    """An agent's command loop with a hub's view of it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(POD)
        self.cluster.logs["shop", "web", "app", False] = "started\npassword=canary9\n"
        self.bus = FakeBus()
        self.state = AgentState(Identity("prod", KUBE_SYSTEM_UID), lambda: True, NOW)
        self.state.registration = "accepted"
        executor = Executor(
            self.cluster, lambda: Told(self.state.identity, "v1.34.4", self.state.hub_ahead), lambda: NOW
        )
        self.loop = CommandLoop(self.bus, executor, self.state)

    async def deliver(self, body: bytes, headers: dict[str, str] | None = None) -> Delivery:
        await self.bus.ensure_command_consumer("prod")
        await self.bus.publish("agent.command.prod", body, headers=headers)
        delivery: Delivery = await anext(self.bus.consume(streams.COMMANDS, "prod"))
        return delivery

    async def answer(self, command: Command, headers: dict[str, str] | None = None) -> CommandResult:
        delivery = await self.deliver(messages.encode(command), headers)
        await self.loop.handle(delivery)
        assert words(delivery) == ["ack"]
        return self.result()

    def result(self) -> CommandResult:
        sent = self.sent[-1]
        return messages.decode(unpack(sent.data, sent.headers.get("Ka-Enc", "")), CommandResult)

    @property
    def sent(self) -> list[Incoming]:
        return [each for each in self.bus.sent if each.subject == "agent.result.prod"]


def words(delivery: Delivery) -> list[str]:
    assert isinstance(delivery, FakeDelivery)
    return delivery.words


@pytest.fixture
def scene() -> Scene:
    return Scene()


def evidence(**more: Any) -> Command:
    request = EvidenceRequest(target=ObjectKey("v1", "Pod", "shop", "web"))
    return Command(id="c1", action="evidence", evidence=request, **more)


def kubectl(action: str, *args: str, **more: Any) -> Command:
    return Command(id="c1", action=action, args=list(args), **more)


async def test_evidence_is_gathered_redacted_and_answered(scene: Scene) -> None:
    result = await scene.answer(evidence(), {messages.HEADER_TRACE: "00-abc"})
    assert (result.status, result.command_id, result.cluster_id) == ("success", "c1", "prod")
    assert result.cluster_uid == KUBE_SYSTEM_UID
    assert result.evidence is not None
    assert result.evidence.kubernetes_version == "v1.34.4"
    assert any(obj["kind"] == "Pod" for obj in result.evidence.objects)
    assert b"canary" not in msgspec.json.encode(result)
    headers = scene.sent[-1].headers
    assert headers[messages.HEADER_MSG_ID] == "c1:final"
    assert headers[messages.HEADER_CLUSTER_UID] == KUBE_SYSTEM_UID
    assert headers[messages.HEADER_TRACE] == "00-abc"


async def test_the_seeds_log_command(scene: Scene) -> None:
    result = await scene.answer(kubectl("logs", "pod", "web", "-n", "shop"))
    assert (result.status, result.output) == ("success", "started\npassword=[REDACTED:password]")


async def test_objects_are_answered_as_json_without_secrets(scene: Scene) -> None:
    result = await scene.answer(kubectl("get", "pods", "-n", "shop", "-l", "app=web"))
    [item] = msgspec.json.decode(result.output)["items"]
    assert item["spec"]["containers"][0]["env"] == [{"name": "DB_PASSWORD", "value": "[REDACTED:value]"}]


async def test_names_only(scene: Scene) -> None:
    assert (await scene.answer(kubectl("get", "pods", "-n", "shop", "-o", "name"))).output == "pod/web"


async def test_what_is_not_found_is_an_error_unless_that_is_fine(scene: Scene) -> None:
    result = await scene.answer(kubectl("get", "pod", "gone", "-n", "shop"))
    assert (result.status, result.code) == ("error", "KA-NOT-FOUND")
    fine = await Scene().answer(kubectl("get", "pod", "gone", "-n", "shop", "--ignore-not-found"))
    assert fine.status == "success"


async def test_a_write_is_denied_and_the_layer_is_named(scene: Scene) -> None:
    result = await scene.answer(kubectl("delete", "pod", "web", "-n", "shop"))
    assert (result.status, result.code) == ("denied", "KA-COMMAND-DENIED")
    assert result.error.startswith("L1-readonly: ")
    assert scene.cluster.asked == []


async def test_a_command_for_another_cluster_is_denied(scene: Scene) -> None:
    assert (await scene.answer(evidence(cluster_uid="other"))).code == "KA-IDENTITY"
    by_header = await Scene().answer(evidence(), {messages.HEADER_CLUSTER_UID: "other"})
    assert (by_header.status, by_header.code) == ("denied", "KA-IDENTITY")


async def test_an_expired_command_is_answered_and_not_run(scene: Scene) -> None:
    result = await scene.answer(evidence(expires_at=NOW - timedelta(seconds=1)))
    assert (result.status, result.code) == ("expired", "KA-EXPIRED")
    assert scene.cluster.asked == []


async def test_a_cluster_that_is_down_is_an_error(scene: Scene) -> None:
    scene.cluster.down = True
    result = await scene.answer(kubectl("get", "pods", "-n", "shop"))
    assert (result.status, result.code) == ("error", "KA-CLUSTER-DOWN")


async def test_a_bug_is_an_error_and_says_no_more_than_its_kind(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(scene.cluster, "list", fail)
    result = await scene.answer(kubectl("get", "pods", "-n", "shop"))
    assert (result.status, result.error) == ("error", "ZeroDivisionError in the agent")


async def test_a_hang_ends_at_the_timeout(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(scene.cluster, "log", hang)
    monkeypatch.setattr("kubeagent.edge.executor.executor.GRACE", timedelta(0))
    result = await scene.answer(kubectl("logs", "web", "-n", "shop", timeout="50ms"))
    assert (result.status, result.code) == ("error", "KA-TIMEOUT")


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b'{"id":7}', b"{", b'{"type":"diagnostic"}'])
async def test_garbage_is_dropped_and_nothing_is_answered(scene: Scene, body: bytes) -> None:
    delivery = await scene.deliver(body)
    await scene.loop.handle(delivery)
    assert words(delivery) == ["drop"]
    assert scene.sent == []


async def test_a_command_that_comes_twice_runs_once_and_is_answered_twice(scene: Scene) -> None:
    command = kubectl("logs", "web", "-n", "shop")
    await scene.answer(command)
    again = await scene.deliver(messages.encode(command))
    await scene.loop.handle(again)
    assert words(again) == ["ack"]
    assert len([read for read in scene.cluster.asked if isinstance(read, Log)]) == 1


async def test_without_nats_there_is_no_ack_and_the_stored_result_is_sent_later(scene: Scene) -> None:
    delivery = await scene.deliver(messages.encode(kubectl("logs", "web", "-n", "shop")))
    await scene.bus.lose()
    with pytest.raises(BusUnavailable):
        await scene.loop.handle(delivery)
    assert words(delivery) == []
    await scene.bus.find()
    await scene.loop.handle(delivery)
    assert words(delivery) == ["ack"]
    assert len(scene.cluster.asked) == 1


async def test_a_command_that_still_runs_is_put_off_and_reported_as_worked_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()

    async def slow(_: Log) -> str:
        await go_on.wait()
        return "late"

    monkeypatch.setattr(commands, "STILL_WORKING", 0.001)
    monkeypatch.setattr(scene.cluster, "log", slow)
    command = messages.encode(kubectl("logs", "web", "-n", "shop"))
    first, second = await scene.deliver(command), await scene.deliver(command)
    running = asyncio.ensure_future(scene.loop.handle(first))
    await until(lambda: "working" in words(first))
    await scene.loop.handle(second)
    assert words(second) == ["retry"]
    go_on.set()
    await running
    assert words(first)[-1] == "ack"


async def test_a_result_that_is_too_large_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubeagent.protocol.encoding.MAX_MESSAGE_BYTES", 4096 + 10)
    result = await scene.answer(kubectl("logs", "web", "-n", "shop"))
    assert (result.status, result.code) == ("error", "KA-TOO-LARGE")


async def test_the_loop_finishes_what_it_began_when_it_is_stopped(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Log) -> str:
        began.set()
        await go_on.wait()
        return "late"

    monkeypatch.setattr(scene.cluster, "log", slow)
    await scene.bus.ensure_command_consumer("prod")
    running = asyncio.ensure_future(scene.loop.run())
    await scene.bus.publish("agent.command.prod", messages.encode(kubectl("logs", "web", "-n", "shop")))
    await began.wait()
    running.cancel()
    go_on.set()
    await asyncio.wait([running])
    assert (scene.result().status, scene.state.commands_running) == ("success", 0)


def test_memory_is_bounded_in_number_and_in_bytes() -> None:
    memory = Memory()
    for number in range(MAX_RESULTS + 5):
        memory.put(str(number), Packed(b"x", ""))
    assert memory.get("0") is None
    assert memory.get(str(MAX_RESULTS + 4)) is not None
    memory.put("large", Packed(b"x" * (MAX_BYTES - 1), ""))
    memory.put("large", Packed(b"x" * (MAX_BYTES - 1), ""))
    assert memory.get(str(MAX_RESULTS + 4)) is not None
    memory.put("more", Packed(b"xx", ""))
    assert memory.get("large") is None
    assert memory.get("more") is not None


def test_output_is_cut_and_says_so() -> None:
    text = render(["x" * (MAX_OUTPUT + 7)], "text")
    assert text.startswith("[truncated: 7 more characters]")


async def test_an_agent_that_is_rejected_leaves_the_commands_to_the_rightful_one(scene: Scene) -> None:
    scene.state.registration = "rejected"
    await scene.bus.ensure_command_consumer("prod")
    await scene.bus.publish("agent.command.prod", messages.encode(kubectl("logs", "web", "-n", "shop")))
    running = asyncio.ensure_future(scene.loop.run())
    await asyncio.sleep(0.05)
    assert scene.sent == []
    scene.state.registration = "accepted"
    await until(lambda: bool(scene.sent))
    running.cancel()
    await asyncio.wait([running])


async def test_a_command_expires_by_the_clock_of_the_hub(scene: Scene) -> None:
    """An edge whose clock is ten minutes fast would refuse every command."""
    scene.state.hub_ahead = -timedelta(minutes=10)
    expires = NOW - timedelta(minutes=10) + timedelta(seconds=20)
    assert (await scene.answer(evidence(expires_at=expires))).status == "success"
    scene.state.hub_ahead = timedelta(minutes=10)
    late = Scene()
    late.state.hub_ahead = timedelta(minutes=10)
    assert (await late.answer(evidence(expires_at=NOW + timedelta(minutes=9)))).status == "expired"


async def test_evidence_that_is_too_large_loses_its_logs_and_not_itself(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeagent.protocol.encoding.MAX_MESSAGE_BYTES", 4096 + 8000)
    target = ObjectKey("v1", "Pod", "shop", "web")
    noise = "\n".join(secrets.token_hex(40) for _ in range(2000))
    log = PodLog(namespace="shop", pod="web", container="app", text=noise)
    given = CommandResult(
        command_id="c1", cluster_id="prod", status="success", evidence=Evidence(target=target, now=NOW, logs=(log,))
    )
    packed = commands._packed(given, "")
    result = messages.decode(unpack(packed.body, packed.encoding), CommandResult)
    assert (result.status, result.evidence is not None) == ("success", True)
    assert result.evidence is not None
    assert noise.endswith(result.evidence.logs[0].text)
    assert result.evidence.logs[0].truncated
    assert result.evidence.unreadable[0].reason == "LimitReached"


@pytest.mark.parametrize("id_", ["", "a b", "x\r\nNats-Msg-Id: y", "é", "x" * 201])
async def test_a_command_without_a_usable_id_is_dropped(scene: Scene, id_: str) -> None:
    delivery = await scene.deliver(messages.encode(Command(id=id_, action="logs", args=["web"])))
    await scene.loop.handle(delivery)
    assert words(delivery) == ["drop"]


def test_of_a_long_log_the_end_is_kept() -> None:
    assert render(["x" * MAX_OUTPUT + " the end"], "text").endswith("the end")
