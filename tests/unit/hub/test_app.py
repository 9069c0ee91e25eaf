"""The thin edge to kopf: handlers pass on what they are given, and the settings keep kopf out of our objects."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import pytest

from kubeagent.errors import ConfigError, KubeAgentError
from kubeagent.hub import app as apps
from kubeagent.hub import handlers
from kubeagent.hub.app import App, operator_settings, run
from kubeagent.hub.guard import NoGuard, ScopeGuard
from kubeagent.hub.settings import HubSettings
from kubeagent.telemetry import logs
from tests.fakes.kube import KUBE_SYSTEM_UID, FakeCluster
from tests.unit.hub.given import UID, World, cluster_body, conditions, task_body


class FakeApp:
    """What the handlers find in memo."""

    def __init__(self, world: World) -> None:
        self.hub = world.hub
        self.leadership = world.hub.leadership
        self.said: list[str] = []

    async def start(self) -> None:
        self.said.append("start")

    async def stop(self) -> None:
        self.said.append("stop")


async def call(handler: Any, world: World, body: Any, type_: str | None) -> None:
    await handler(event={"type": type_}, body=kopf.Body(body), memo=kopf.Memo(app=FakeApp(world)))


async def test_a_task_event_carries_the_task_forward_and_a_deletion_forgets_it() -> None:
    world = World()
    body = world.kube.add(task_body())
    await call(handlers.tasks.task_event, world, body, None)
    assert conditions(world.stored())["Dispatched"] == ("False", "ClusterNotFound")
    await call(handlers.tasks.task_event, world, body, "DELETED")
    assert world.hub.tasks.book.get(UID) is None


async def test_a_cluster_event_settles_the_cluster_and_a_deletion_forgets_it() -> None:
    world = World()
    body = world.kube.add(cluster_body())
    await call(handlers.clusters.cluster_event, world, body, "ADDED")
    assert world.hub.clusters.known("prod-eu") is not None
    await call(handlers.clusters.cluster_event, world, body, "DELETED")
    assert world.hub.clusters.known("prod-eu") is None


async def test_a_runbook_event_checks_the_runbook() -> None:
    world = World()
    spec = {"trigger": {"errorType": "OOMKilled"}}
    meta = {"name": "oom", "namespace": "team-a"}
    body = world.kube.add({"apiVersion": "kubeagent.io/v1", "kind": "Runbook", "metadata": meta, "spec": spec})
    await call(handlers.runbooks.runbook_event, world, body, "MODIFIED")
    assert [each["status"] for key, each in world.kube.objects.items() if key.kind == "Runbook"]
    await call(handlers.runbooks.runbook_event, world, body, "DELETED")


async def test_start_end_and_health() -> None:
    app = FakeApp(World())
    memo = kopf.Memo(app=app)
    lifecycle: Any = handlers.lifecycle
    await lifecycle.startup(memo=memo)
    await lifecycle.cleanup(memo=memo)
    assert app.said == ["start", "stop"]
    assert await lifecycle.nats_probe(memo=memo) == "connected"
    assert await lifecycle.leader_probe(memo=memo) is True


def test_login_takes_the_kubeconfig_first(monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle: Any = handlers.lifecycle
    info = kopf.ConnectionInfo(server="https://from-kubeconfig")
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: info)
    assert lifecycle.login() is info
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: None)
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    assert lifecycle.login() is None


def test_kopf_writes_nothing_into_our_objects() -> None:
    chosen = operator_settings(HubSettings(), 7)
    assert isinstance(chosen.persistence.progress_storage, kopf.StatusProgressStorage)
    assert isinstance(chosen.persistence.diffbase_storage, kopf.StatusDiffBaseStorage)
    assert chosen.scanning.disabled
    assert not chosen.posting.enabled
    assert (chosen.peering.name, chosen.peering.mandatory, chosen.peering.priority) == ("kubeagent-hub", True, 7)
    assert operator_settings(HubSettings(peering=False), 7).peering.standalone


def test_only_level_triggered_handlers_are_registered() -> None:
    registry: Any = handlers.registry
    assert len(registry._watching.get_all_handlers()) == 3
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()


def test_the_guard_follows_the_setting() -> None:
    assert isinstance(App(HubSettings())._guard(FakeCluster()), ScopeGuard)
    assert isinstance(App(HubSettings(scope_guard=False))._guard(FakeCluster()), NoGuard)


async def test_a_hub_that_was_not_started_has_nothing_to_offer() -> None:
    app = App(HubSettings())
    with pytest.raises(KubeAgentError):
        _ = app.hub
    await app.stop()


async def test_the_own_uid_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    kube = FakeCluster()
    kube.down = True

    async def sleep(_: float) -> None:
        kube.down = False

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await apps._own_uid(kube) == KUBE_SYSTEM_UID


@pytest.mark.parametrize(("error", "code"), [(ConfigError("no cluster"), 2), (RuntimeError("a bug"), 1), (None, 0)])
def test_the_exit_code(monkeypatch: pytest.MonkeyPatch, error: Exception | None, code: int) -> None:
    async def operate(_: HubSettings) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(apps, "operate", operate)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    assert run(HubSettings()) == code
