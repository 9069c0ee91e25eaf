"""The small parts: due times, merge patches, settings, leadership, runbooks, the HTTP server, background loops."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeagent.errors import ClusterUnavailable, ConfigError
from kubeagent.hub.background import Bell, keep, side_by_side
from kubeagent.hub.due import DueTimes
from kubeagent.hub.leadership import Leadership, is_first
from kubeagent.hub.metrics import Metrics
from kubeagent.hub.reconcile.merge import difference
from kubeagent.hub.runbooks import Runbooks
from kubeagent.hub.server import Server
from kubeagent.hub.settings import HubSettings
from kubeagent.kube.port import Object
from kubeagent.resources.base import API_VERSION
from tests.fakes.kube import FakeCluster, key_of, merged
from tests.unit.hub.given import NOW, Clock, conditions, message, seconds

JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_a_difference_applied_gives_what_was_wanted(before: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert merged(before, difference(before, wanted)) == wanted


@given(OBJECTS)
def test_no_difference_is_nothing(same: dict[str, Any]) -> None:
    assert difference(same, same) == {}


def test_due_times_are_given_once_and_in_order() -> None:
    due = DueTimes(random.Random(1))
    due.set("b", NOW + seconds(2))
    due.set("a", NOW + seconds(1))
    due.set("c", NOW + seconds(9))
    assert due.take(NOW + seconds(2)) == ["a", "b"]
    assert due.take(NOW + seconds(2)) == []
    due.hasten("c", NOW + seconds(20))
    assert due.get("c") == NOW + seconds(9)
    due.hasten("c", NOW)
    assert due.take(NOW) == ["c"]
    due.set("d", NOW)
    due.set("d", None)
    due.forget("d")
    assert due.take(NOW) == []


def test_a_call_during_a_look_is_not_lost() -> None:
    due = DueTimes(random.Random(1))
    due.begin("a")
    due.hasten("a", NOW)
    due.set("a", NOW + seconds(5))
    due.hasten("b", NOW)
    due.set("b", None)
    assert due.take(NOW) == ["a", "b"]
    due.begin("a")
    due.set("a", NOW + seconds(5))
    assert due.take(NOW) == []


def test_failures_back_off_with_jitter_up_to_a_minute() -> None:
    due = DueTimes(random.Random(1))
    pauses = [(due.failed("a", NOW) - NOW).total_seconds() for _ in range(20)]
    assert 0.25 <= pauses[0] <= 0.5
    assert all(30 <= each <= 60 for each in pauses[8:])
    assert len(set(pauses)) == len(pauses)
    due.set("a", NOW)
    assert (due.failed("a", NOW) - NOW).total_seconds() <= 0.5


# ---------------------------------------------------------------- settings


def test_the_defaults() -> None:
    settings = HubSettings.load()
    assert settings.namespace == "kubeagent-system"
    assert settings.heartbeat_timeout == seconds(90)
    assert settings.timing.command_timeout == seconds(30)
    assert (settings.health_port, settings.metrics_port) == (8080, 9090)
    assert settings.peering
    assert settings.scope_guard
    assert settings.bus.servers == ("nats://127.0.0.1:4222",)


def test_a_file_and_the_environment_over_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "hub.yaml"
    file.write_text("log_level: debug\nmetrics_port: 0\nnats:\n  servers: [nats://file:4222]\n  user: hub\n")
    monkeypatch.setenv("KUBEAGENT_CONFIG", str(file))
    monkeypatch.setenv("KUBEAGENT_METRICS_PORT", "9999")
    monkeypatch.setenv("KUBEAGENT_NATS_URL", "nats://a:4222, nats://b:4222")
    settings = HubSettings.load()
    assert settings.log_level == "debug"
    assert settings.metrics_port == 9999
    assert settings.bus.servers == ("nats://a:4222", "nats://b:4222")
    assert settings.bus.user == "hub"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("KUBEAGENT_METRICS_PORT", "70000", "metrics_port"),
        ("KUBEAGENT_LOG_LEVEL", "loud", "log_level"),
        ("KUBEAGENT_NATS_URL", "http://nats", "servers"),
        ("KUBEAGENT_HEARTBEAT_TIMEOUT_SECONDS", "soon", "heartbeat_timeout_seconds"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        HubSettings.load()


@pytest.mark.parametrize("text", [None, "a: [", "- a list", "peering: perhaps"])
def test_a_broken_settings_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "hub.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("KUBEAGENT_CONFIG", str(file))
    with pytest.raises(ConfigError):
        HubSettings.load()


# ---------------------------------------------------------------- leadership


def peer(priority: int, ago: float = 10, lifetime: int = 60) -> dict[str, Any]:
    return {"priority": priority, "lastseen": (NOW - seconds(ago)).isoformat(), "lifetime": lifetime}


@pytest.mark.parametrize(
    ("peers", "first"),
    [
        ({}, True),
        ({"me": peer(5)}, True),
        ({"me": peer(5), "other": peer(4)}, True),
        ({"me": peer(5), "other": peer(5)}, False),
        ({"me": peer(5), "other": peer(6)}, False),
        ({"me": peer(5), "other": peer(6, ago=61)}, True),
        ({"me": peer(5), "other": {"priority": 6, "lastseen": "yesterday"}}, True),
        ({"other": {"priority": 6, "lastseen": "2026-11-21T08:59:59"}}, False),
        ({"other": "garbage"}, True),
    ],
)
def test_who_leads(peers: dict[str, Any], first: bool) -> None:
    assert is_first(peers, "me", 5, NOW) is first


async def test_leadership_follows_the_peering_object() -> None:
    kube = FakeCluster()
    leadership = Leadership("me", 5, peering=True)
    assert [leadership.leads, await look(leadership, kube)] == [False, False]

    name = {"name": "kubeagent-hub"}
    body: Object = {"apiVersion": "kopf.dev/v1", "kind": "ClusterKopfPeering", "metadata": name}
    kube.add(body)
    assert await look(leadership, kube) is True
    await leadership.gained()

    kube.add({**body, "status": {"other": peer(9)}})
    assert await look(leadership, kube) is False
    await leadership.lost()
    kube.down = True
    assert await look(leadership, kube) is False


async def look(leadership: Leadership, kube: FakeCluster) -> bool:
    await leadership.look(kube, NOW)
    return leadership.leads


def test_without_peering_there_is_nobody_else() -> None:
    assert Leadership("me", 5, peering=False).leads


# ---------------------------------------------------------------- runbooks


def runbook(**spec: Any) -> Object:
    spec = spec or {"trigger": {"errorType": "OOMKilled"}, "steps": [{"action": "query_metrics"}]}
    return {
        "apiVersion": API_VERSION,
        "kind": "Runbook",
        "metadata": {"name": "oom", "namespace": "team-a"},
        "spec": spec,
    }


async def test_a_good_runbook_is_ready() -> None:
    kube = FakeCluster()
    body = kube.add(runbook())
    runbooks = Runbooks(kube, Clock(), random.Random(1))
    await runbooks.seen(body)
    stored = kube.objects[key_of(body)]
    assert conditions(stored)["Ready"] == ("True", "Valid")
    await runbooks.seen(stored)
    assert kube.objects[key_of(body)] == stored


async def test_a_bad_runbook_says_where_and_why() -> None:
    kube = FakeCluster()
    bad = [{"action": f"Not An Action {i}"} for i in range(9)]
    body = kube.add(runbook(trigger={}, steps=bad))
    await Runbooks(kube, Clock(), random.Random(1)).seen({**body, "status": {"conditions": "nonsense"}})
    stored = kube.objects[key_of(body)]
    assert conditions(stored)["Ready"] == ("False", "InvalidSpec")
    assert message(stored, "Ready").startswith("steps.0.action: ")
    assert message(stored, "Ready").endswith("and 6 more")


async def test_a_runbook_that_could_not_be_written_is_written_later() -> None:
    kube, clock = FakeCluster(), Clock()
    body = kube.add(runbook())
    runbooks = Runbooks(kube, clock, random.Random(1))
    kube.down = True
    await runbooks.seen(body)
    clock.forward(1)
    await runbooks.sweep()
    kube.down = False
    clock.forward(5)
    await runbooks.sweep()
    assert conditions(kube.objects[key_of(body)])["Ready"] == ("True", "Valid")
    kube.down = True
    await runbooks.seen(runbook(trigger={"errorType": "other"}, steps=[{"action": "x", "name": "!"}, {}]))
    kube.down = False
    del kube.objects[key_of(body)]
    clock.forward(5)
    await runbooks.sweep()
    await runbooks.seen(runbook())


# ---------------------------------------------------------------- server and background


async def test_the_server_says_what_is_missing() -> None:
    metrics, missing = Metrics(), ["no connection to NATS"]
    server = Server(metrics.registry, lambda: missing[0])
    await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
            assert (await http.get("/healthz")).status == 200
            not_ready = await http.get("/readyz")
            assert (not_ready.status, await not_ready.text()) == (503, "no connection to NATS\n")
            missing[0] = ""
            assert (await http.get("/readyz")).status == 200
            metrics.count_agents({"online": 3})
            assert 'aetherius_agent_total{status="online"} 3.0' in await (await http.get("/metrics")).text()
    finally:
        await server.stop()


async def test_a_server_that_was_never_started_stops() -> None:
    await Server(Metrics().registry, str).stop()


async def test_a_bell_calls_at_once() -> None:
    bell = Bell()
    bell.ring()
    await bell.wait(60)
    await bell.wait(0)


async def test_side_by_side_is_bounded() -> None:
    running, most = 0, 0

    async def work(_: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await side_by_side(work, map(str, range(20)), at_once=3)
    assert most == 3


async def test_a_loop_that_fails_is_begun_again() -> None:
    begun, thrice = 0, asyncio.Event()

    async def loop() -> None:
        nonlocal begun
        begun += 1
        if begun == 3:
            thrice.set()
        raise ClusterUnavailable("down")

    task = asyncio.create_task(keep("test", loop, random.Random(1), pause=0.001))
    async with asyncio.timeout(20):
        await thrice.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
