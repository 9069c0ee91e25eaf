"""What the hub's tests begin with: tasks, clusters, evidence and a whole hub over fakes, all at one fixed time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kubeagent.bus.port import Incoming
from kubeagent.hub.hub import Hub
from kubeagent.hub.judging import Judging
from kubeagent.hub.leadership import Leadership
from kubeagent.hub.reconcile.observed import ClusterState, ClusterView
from kubeagent.hub.reconcile.status import after
from kubeagent.hub.reconcile.step import Step
from kubeagent.hub.settings import HubSettings
from kubeagent.kube.port import Object
from kubeagent.protocol import subjects
from kubeagent.protocol.encoding import pack
from kubeagent.protocol.evidence import Evidence
from kubeagent.protocol.messages import (
    HEADER_ENCODING,
    AgentInfo,
    Command,
    CommandResult,
    Heartbeat,
    decode,
    encode,
)
from kubeagent.resources.base import API_VERSION, ObjectReference
from kubeagent.resources.diagnosistask import DiagnosisTask
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category, EvidenceLine, Outcome, RootCause, Verdict
from tests.fakes.bus import Broker, FakeBus
from tests.fakes.kube import KUBE_SYSTEM_UID, FakeCluster

NOW = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)
UID = "0b0e2f4c-1111-4222-8333-944455556666"
EU_UID = "99999999-2222-3333-4444-555555555555"
FIRST = f"{UID}-evidence-1"
SECOND = f"{UID}-evidence-2"


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def task_body(name: str = "checkout-down", uid: str = UID, **spec: Any) -> Object:
    spec.setdefault("cluster", "prod-eu")
    spec.setdefault("target", {"kind": "Deployment", "namespace": "shop", "name": "checkout"})
    return {
        "apiVersion": API_VERSION,
        "kind": "DiagnosisTask",
        "metadata": {"name": name, "namespace": "team-a", "uid": uid, "generation": 1, "resourceVersion": "7"},
        "spec": spec,
    }


def task(**spec: Any) -> DiagnosisTask:
    return DiagnosisTask.parse(task_body(**spec))


def carried(before: DiagnosisTask, step: Step, now: datetime) -> DiagnosisTask:
    """The task once the step was recorded, as it comes back from the API server."""
    status = after(before, step, now).to_json()
    return DiagnosisTask.parse({**before.to_json(), "status": status})


def online(**fields: Any) -> ClusterView:
    given: dict[str, Any] = {"state": ClusterState.ONLINE, "uid": EU_UID, "capabilities": frozenset({"evidence"})}
    return ClusterView(name="prod-eu", **{**given, **fields})


def root_cause(reason: str = "ConfigMapKeyMissing", text: str = "DB_HOST", lines: int = 1) -> RootCause:
    about = ObjectReference(api_version="v1", kind="ConfigMap", namespace="shop", name="checkout-env")
    quotes = tuple(EvidenceLine(id=f"e{i}", source="event", object=about, text=text) for i in range(lines))
    return RootCause(
        reason=reason,
        category=Category.CONFIGURATION,
        object=about,
        summary="ConfigMap shop/checkout-env lost key DB_HOST",
        confidence=95,
        evidence=quotes,
    )


FOUND = Verdict(
    outcome=Outcome.ROOT_CAUSE_FOUND,
    reason="RootCauseFound",
    message="ConfigMap shop/checkout-env lost key DB_HOST",
    root_causes=(root_cause(),),
)
HEALTHY = Verdict(outcome=Outcome.NO_FAULT_FOUND, reason="NoFaultFound", message="nothing is wrong")
NOT_FOUND = Verdict(
    outcome=Outcome.UNDETERMINED,
    reason="TargetNotFound",
    message="there is no Deployment shop/checkuot; did you mean checkout?",
)


def evidence(**fields: Any) -> Evidence:
    given: dict[str, Any] = {
        "target": ObjectKey("apps/v1", "Deployment", "shop", "checkout"),
        "now": NOW,
        "cluster_id": "prod-eu",
        "cluster_uid": EU_UID,
    }
    return Evidence(**{**given, **fields})


def cluster_body(name: str = "prod-eu", *, uid: str = EU_UID, **spec: Any) -> Object:
    body: Object = {
        "apiVersion": API_VERSION,
        "kind": "ManagedCluster",
        "metadata": {"name": name, "uid": f"uid-of-{name}"},
        "spec": {"accepted": True, **spec},
    }
    if uid:
        body["status"] = {"clusterUID": uid, "capabilities": ["evidence"]}
    return body


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: float) -> None:
        self.now += seconds(by)


@dataclass
class FakeGuard:
    """A guard that is in force, or not."""

    holds: bool = True

    async def in_force(self) -> bool:
        return self.holds


@dataclass
class World:
    """A hub over an in-memory API server and bus. `verdict` is what the engine will say."""

    clock: Clock = field(default_factory=Clock)
    kube: FakeCluster = field(default_factory=FakeCluster)
    guard: FakeGuard = field(default_factory=FakeGuard)
    verdict: Verdict = FOUND
    judged: list[Evidence] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = Broker(self.clock)
        self.bus = FakeBus(self.broker)
        self.hub = self.new_hub()

    def new_hub(self) -> Hub:
        """Another hub process over the same API server and bus."""
        hub = Hub(
            HubSettings(),
            self.kube,
            self.bus,
            KUBE_SYSTEM_UID,
            self.guard,
            Judging(self._judge, lambda given: given),
            Leadership("hub-1", 1, peering=False),
            clock=self.clock,
            rng=random.Random(1),
        )
        hub._fleet.reconnected(self.clock.now)
        return hub

    def _judge(self, given: Evidence) -> Verdict:
        self.judged.append(given)
        return self.verdict

    async def has_cluster(self, name: str = "prod-eu", *, uid: str = EU_UID, beats: bool = True, **spec: Any) -> None:
        """A ManagedCluster is there, and the hub has seen it."""
        await self.hub.clusters.seen(self.kube.add(cluster_body(name, uid=uid, **spec)))
        if beats:
            self.beat(name, uid=uid)
            await self.hub.sweep()

    def beat(self, name: str = "prod-eu", *, uid: str = EU_UID, **fields: Any) -> None:
        beat = Heartbeat(cluster_id=name, timestamp=self.clock.now, cluster_uid=uid, **fields)
        self.hub.registrar.heartbeat(incoming("heartbeat", name, encode(beat), received=self.clock.now))

    async def apply(self, **spec: Any) -> Object:
        """A task is created, and the hub sees it."""
        body = self.kube.add(task_body(**spec))
        await self.hub.tasks.seen(body)
        return self.stored()

    def stored(self, name: str = "checkout-down") -> Object:
        return self.kube.objects[ObjectKey(API_VERSION, "DiagnosisTask", "team-a", name)]

    def cluster(self, name: str = "prod-eu") -> Object:
        return self.kube.objects[ObjectKey(API_VERSION, "ManagedCluster", "", name)]

    async def look(self) -> None:
        """The hub is shown the task as it is."""
        await self.hub.tasks.seen(self.stored())

    def commands(self) -> list[Command]:
        return [decode(each.data, Command) for each in self.bus.sent if each.subject.startswith("agent.command.")]


def conditions(body: Object) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {each["type"]: (each["status"], each["reason"]) for each in body.get("status", {}).get("conditions", [])}


def message(body: Object, type_: str) -> str:
    return str(next(each["message"] for each in body["status"]["conditions"] if each["type"] == type_))


def incoming(
    channel: subjects.Channel,
    cluster: str,
    data: bytes,
    headers: dict[str, str] | None = None,
    received: datetime | None = None,
) -> Incoming:
    return Incoming(f"agent.{channel}.{cluster}", data, headers or {}, received)


def result(command_id: str = FIRST, cluster: str = "prod-eu", **fields: Any) -> CommandResult:
    fields.setdefault("status", "success")
    if fields["status"] == "success":
        fields.setdefault("evidence", evidence())
    fields.setdefault("cluster_uid", EU_UID if cluster == "prod-eu" else "us")
    return CommandResult(command_id=command_id, cluster_id=cluster, **fields)


def wire(answer: CommandResult) -> tuple[bytes, dict[str, str]]:
    """A result as an agent of ours sends it."""
    data, encoding = pack(encode(answer))
    return data, {HEADER_ENCODING: encoding} if encoding else {}


def agent(name: str = "prod-eu", uid: str = EU_UID, **fields: Any) -> AgentInfo:
    fields.setdefault("capabilities", ["evidence"])
    return AgentInfo(cluster_id=name, cluster_uid=uid, version="1.0.0", **fields)
