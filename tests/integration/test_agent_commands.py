"""The real agent on a real nats-server, with a cluster in memory: from a command to its one result, through outages."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubeagent.bus import streams
from kubeagent.bus.nats import NatsBus
from kubeagent.bus.port import Delivery, Incoming
from kubeagent.bus.settings import BusSettings
from kubeagent.edge.agent import EXIT_GAVE_UP, EXIT_OK, serve
from kubeagent.edge.identity import Identity
from kubeagent.edge.settings import AgentSettings
from kubeagent.protocol import messages
from kubeagent.protocol.encoding import unpack
from kubeagent.protocol.messages import AgentInfo, Command, CommandResult, EvidenceRequest, Heartbeat, RegisterReply
from kubeagent.protocol.reads import Log
from kubeagent.resources.refs import ObjectKey
from tests.fakes.kube import KUBE_SYSTEM_UID, FakeCluster
from tests.fakes.nats_server import NatsServer
from tests.fakes.waiting import until

PATIENCE = 40.0
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"containers": [{"name": "app", "env": [{"name": "DB_PASSWORD", "value": "canary"}]}]},
    "status": {"phase": "Running"},
}


def bus_settings(server: NatsServer) -> BusSettings:
    return BusSettings(
        servers=(server.url,),
        backoff_seconds=0.1,
        max_backoff_seconds=0.5,
        probe_seconds=0.5,
        publish_timeout_seconds=20,
    )


class Hub:
    """As much of a hub as an agent sees."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.registered: list[AgentInfo] = []
        self.state = "accepted"

    async def start(self) -> None:
        await self.bus.respond("agent.register.*", "hub", self._answer)
        self._results = self.bus.consume(streams.RESULTS, streams.HUB_RESULTS)

    async def _answer(self, message: Incoming) -> bytes:
        self.registered.append(messages.decode(message.data, AgentInfo))
        return messages.encode(RegisterReply(state=self.state))

    async def send(self, command: Command, message_id: str = "") -> None:
        await self.bus.publish(
            "agent.command.prod",
            messages.encode(command),
            message_id=message_id or command.id,
            ttl=timedelta(minutes=2),
        )

    async def delivery(self) -> Delivery:
        return await asyncio.wait_for(anext(self._results), PATIENCE)

    async def result(self) -> CommandResult:
        delivery = await self.delivery()
        await delivery.ack()
        message = delivery.message
        return messages.decode(unpack(message.data, message.headers.get("Ka-Enc", "")), CommandResult)


class Agent:
    """The agent's parts as the process wires them."""

    def __init__(self, server: NatsServer, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self._settings = AgentSettings(central_endpoint=server.url, health_host="127.0.0.1", health_port=0)
        self._bus = NatsBus(bus_settings(server), "agent")
        self._stop = asyncio.Event()
        identity = Identity("prod", KUBE_SYSTEM_UID)
        self._task = asyncio.ensure_future(serve(self._settings, self._bus, cluster, identity, self._stop))

    async def stop(self) -> int:
        self._stop.set()
        code = await asyncio.wait_for(self._task, PATIENCE)
        await self._bus.close()
        return code


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as found:
        yield found


@pytest.fixture
async def hub(server: NatsServer) -> AsyncIterator[Hub]:
    async with NatsBus(bus_settings(server), "hub", hub=True) as bus:
        found = Hub(bus)
        await found.start()
        await bus.ensure_command_consumer("prod")
        yield found


@pytest.fixture
async def agent(server: NatsServer, hub: Hub) -> AsyncIterator[Agent]:
    cluster = FakeCluster(POD)
    cluster.logs["shop", "web", "app", False] = "hello"
    found = Agent(server, cluster)
    await until(lambda: bool(hub.registered))
    yield found
    assert await found.stop() == EXIT_OK


def evidence(command_id: str = "task:0:1", **more: Any) -> Command:
    request = EvidenceRequest(target=ObjectKey("v1", "Pod", "shop", "web"))
    return Command(id=command_id, action="evidence", evidence=request, **more)


LOGS = Command(id="cmd-1", action="logs", args=["pod", "web", "-n", "shop"])


async def test_the_agent_introduces_itself_and_beats(hub: Hub, agent: Agent) -> None:
    info = hub.registered[0]
    assert (info.cluster_id, info.cluster_uid, info.kubernetes_version) == ("prod", KUBE_SYSTEM_UID, "v1.34.4")
    assert messages.CAPABILITY_EVIDENCE in info.capabilities
    beat = await asyncio.wait_for(anext(hub.bus.latest(streams.HEARTBEAT)), PATIENCE)
    heartbeat = messages.decode(beat.data, Heartbeat)
    assert (heartbeat.cluster_id, heartbeat.status, heartbeat.pods) == ("prod", "healthy", 1)


async def test_evidence_end_to_end(hub: Hub, agent: Agent) -> None:
    await hub.send(evidence())
    result = await hub.result()
    assert (result.status, result.command_id) == ("success", "task:0:1")
    assert result.evidence is not None
    assert "web" in [obj["metadata"]["name"] for obj in result.evidence.objects]
    assert b"canary" not in msgspec.json.encode(result)


async def test_a_command_sent_while_nats_restarts_is_answered_once(server: NatsServer, hub: Hub, agent: Agent) -> None:
    server.kill()
    sending = asyncio.ensure_future(hub.send(LOGS))
    await asyncio.sleep(0.3)
    server.start()
    await asyncio.wait_for(sending, PATIENCE)
    assert (await hub.result()).output == "hello"
    await until(lambda: len(hub.registered) >= 2)
    await hub.send(evidence())
    assert (await hub.result()).command_id == "task:0:1"


async def test_nats_killed_while_the_command_runs(
    server: NatsServer, hub: Hub, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Log) -> str:
        reading.set()
        await go_on.wait()
        return "read once"

    monkeypatch.setattr(agent.cluster, "log", slow)
    await hub.send(LOGS)
    await asyncio.wait_for(reading.wait(), PATIENCE)
    server.kill()
    go_on.set()
    await asyncio.sleep(0.2)
    server.start()
    assert (await hub.result()).output == "read once"


async def test_a_command_sent_twice_is_run_once_and_has_one_result(hub: Hub, agent: Agent) -> None:
    await hub.send(LOGS, "first")
    await hub.send(LOGS, "second")
    await hub.send(evidence("last"))
    assert [(await hub.result()).command_id for _ in range(2)] == ["cmd-1", "last"]
    assert len([read for read in agent.cluster.asked if isinstance(read, Log) and read.container == ""]) == 1


async def test_garbage_does_not_stop_the_queue(hub: Hub, agent: Agent) -> None:
    for body in (b"\x00\xff", b"[]", b'{"id":1}', b""):
        await hub.bus.publish("agent.command.prod", body)
    await hub.send(LOGS)
    assert (await hub.result()).command_id == "cmd-1"


@pytest.mark.parametrize(
    ("command", "status", "code"),
    [
        (evidence("foreign", cluster_uid="another"), "denied", "KA-IDENTITY"),
        (evidence("late", expires_at=datetime(2026, 1, 1, tzinfo=UTC)), "expired", "KA-EXPIRED"),
        (Command(id="bad", action="delete", args=["pod", "web"]), "denied", "KA-COMMAND-DENIED"),
        (Command(id="secret", action="get", args=["secrets", "-A"]), "denied", "KA-COMMAND-DENIED"),
        (Command(id="none", action="get", args=["pod", "gone", "-n", "shop"]), "error", "KA-NOT-FOUND"),
    ],
)
async def test_each_refusal_is_an_answer(hub: Hub, agent: Agent, command: Command, status: str, code: str) -> None:
    await hub.send(command)
    result = await hub.result()
    assert (result.command_id, result.status, result.code) == (command.id, status, code)


async def test_a_cluster_that_is_accepted_later_gets_its_commands_then(server: NatsServer, hub: Hub) -> None:
    await hub.bus.remove_command_consumer("prod")
    hub.state = "pending"
    agent = Agent(server, FakeCluster(POD))
    await until(lambda: bool(hub.registered))
    await hub.send(evidence())
    await hub.bus.ensure_command_consumer("prod")
    assert (await hub.result()).status == "success"
    assert await agent.stop() == EXIT_OK


def agent_process(endpoint: str, tmp_path: Path, kubernetes: str, **environment: str) -> subprocess.Popen[str]:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "current-context": "x",
                "clusters": [{"name": "x", "cluster": {"server": kubernetes}}],
                "users": [{"name": "x", "user": {"token": "x"}}],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            }
        )
    )
    code = "import sys; from kubeagent.edge import agent, settings; sys.exit(agent.run(settings.AgentSettings.load()))"
    given = {
        "KUBECONFIG": str(kubeconfig),
        "CENTRAL_ENDPOINT": endpoint,
        "HEALTH_PORT": "0",
        "HEALTH_HOST": "127.0.0.1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **given, **environment}, stderr=subprocess.PIPE, text=True
    )


def line_with(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"the agent ended without saying {text!r}")


async def test_the_process_waits_for_the_api_server_and_stops_when_told(tmp_path: Path) -> None:
    process = agent_process("nats://127.0.0.1:1", tmp_path, "http://127.0.0.1:1", MAX_RETRIES="0")
    await asyncio.to_thread(line_with, process, "waiting for the Kubernetes API")
    process.send_signal(signal.SIGTERM)
    _, rest = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    assert (process.returncode, "Traceback" in rest) == (EXIT_OK, False)


async def test_the_process_gives_up_on_nats_after_max_retries(tmp_path: Path, unused_tcp_port: int) -> None:
    async def kube_system(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"kind":"Namespace","metadata":{"uid":"u-1","name":"kube-system"},"gitVersion":"v1","items":[]}'
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(kube_system, "127.0.0.1", unused_tcp_port):
        process = agent_process(
            "nats://127.0.0.1:1",
            tmp_path,
            f"http://127.0.0.1:{unused_tcp_port}",
            MAX_RETRIES="2",
            RECONNECT_DELAY="100ms",
        )
        _, text = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    assert process.returncode == EXIT_GAVE_UP, text
    assert text.count("waiting for NATS") == 2
    assert "Traceback" not in text
