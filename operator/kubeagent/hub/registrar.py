"""Answers registrations and takes heartbeats: who may speak under which name, said back in so many words.

The cluster id is the subject's, which NATS permissions bind to the sender; a body that disagrees is refused. The same
message twice has the effect of once. A heartbeat under a name that nobody knows counts as a registration that was
lost: a seed-style agent publishes that only once.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import msgspec
import structlog

from kubeagent.bus.port import Incoming
from kubeagent.errors import BadMessage, KubeAgentError
from kubeagent.hub.background import side_by_side
from kubeagent.hub.clock import Clock
from kubeagent.hub.clusters import Clusters
from kubeagent.hub.fleet import Fleet
from kubeagent.hub.metrics import Metrics
from kubeagent.hub.reconcile.registration import Admission, admit, pending_cluster
from kubeagent.protocol import subjects
from kubeagent.protocol.messages import (
    HEADER_CLUSTER_UID,
    AgentInfo,
    Heartbeat,
    RegisterReply,
    decode,
    encode,
)
from kubeagent.telemetry.logs import may_say

log = structlog.get_logger()

MAX_PENDING: Final = 5000
"""So many clusters may wait for a person to accept them; further names are refused."""
MAX_STRANGERS: Final = 10_000
MAX_UID: Final = 128

ADOPT_INTERVAL: Final = timedelta(minutes=1)
"""A heartbeat under an unknown or foreign name is looked into at most this often."""


_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class _Stranger(NamedTuple):
    """A heartbeat that waits to be looked into."""

    info: AgentInfo
    status: str
    received: datetime | None


class Registrar:
    """Turns what agents say of themselves into ManagedClusters."""

    def __init__(self, clusters: Clusters, fleet: Fleet, metrics: Metrics, clock: Clock, own_uid: str) -> None:
        self._clusters = clusters
        self._fleet = fleet
        self._metrics = metrics
        self._clock = clock
        self._own_uid = own_uid
        self._strangers: dict[str, _Stranger] = {}
        self._looked: dict[str, datetime] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def register(self, message: Incoming) -> bytes:
        """The answer to a registration; it is sent only if somebody waits for it."""
        return encode(await self._register(message))

    def heartbeat(self, message: Incoming) -> None:
        """Take a heartbeat; nothing here waits, so that no cluster's beat is late because of another's."""
        if not message.data:  # the stream's own mark that the last one has expired
            return
        try:
            beat, info = _heartbeat(message)
        except BadMessage as exc:
            self._drop("bad-heartbeat", exc)
            return
        cluster = self._clusters.known(info.cluster_id)
        if cluster is None or admit(info.cluster_id, info.cluster_uid, cluster, self._own_uid).rejected:
            self._stranger(_Stranger(info, beat.status, message.received))
        else:
            self._beat(info, beat.status, message.received)

    async def sweep(self) -> None:
        """Look into heartbeats under an unknown or foreign name, once a minute each."""
        now = self._clock()
        self._looked = {name: when for name, when in self._looked.items() if now - when < ADOPT_INTERVAL}
        due = [name for name in self._strangers if now - self._looked.get(name, _NEVER) >= ADOPT_INTERVAL]
        await side_by_side(self._adopt, due)

    def _stranger(self, stranger: _Stranger) -> None:
        if stranger.info.cluster_id in self._strangers or len(self._strangers) < MAX_STRANGERS:
            self._strangers[stranger.info.cluster_id] = stranger
        else:
            self._metrics.dropped.labels(reason="too-many-strangers").inc()

    async def _adopt(self, name: str) -> None:
        stranger = self._strangers.pop(name)
        self._looked[name] = self._clock()
        try:
            async with self._alone(name):
                admission = await self._admit(stranger.info)
                if not admission.rejected:
                    self._beat(*stranger)
                await self._clusters.settle(name)
        except KubeAgentError as exc:
            log.warning("a heartbeat cannot be placed", cluster=name, code=exc.code, reason=exc.message)
            self._looked.pop(name, None)
            self._strangers.setdefault(name, stranger)

    def _beat(self, info: AgentInfo, status: str, received: datetime | None) -> None:
        before = self._fleet.beat(info, status, received, self._clock())
        self._clusters.heard(info.cluster_id, before)

    async def _register(self, message: Incoming) -> RegisterReply:
        try:
            info = _agent_info(message)
        except BadMessage as exc:
            self._drop("bad-registration", exc)
            return self._reply(Admission("rejected", f"BadMessage: {exc.message}"))
        try:
            async with self._alone(info.cluster_id):
                admission = await self._admit(info)
                if not admission.rejected:
                    self._fleet.registered(info)
                await self._clusters.settle(info.cluster_id)
        except KubeAgentError as exc:
            log.warning("a registration must be repeated", cluster=info.cluster_id, code=exc.code, reason=exc.message)
            return self._reply(Admission("pending", f"HubBusy: {exc.code}; try again"))
        if may_say("registration", info.cluster_id, admission.state):
            log.info("registration", cluster=info.cluster_id, state=admission.state, reason=admission.reason)
        return self._reply(admission)

    def _alone(self, name: str) -> asyncio.Lock:
        """One at a time per name: of two clusters that come at once, one is the first."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def _admit(self, info: AgentInfo) -> Admission:
        """Decide, and make the ManagedCluster if it is the first time."""
        name = info.cluster_id
        cluster = await self._clusters.fetch(name)
        admission = admit(name, info.cluster_uid, cluster, self._own_uid)
        if cluster is None and not admission.rejected and self._clusters.pending >= MAX_PENDING:
            admission = Admission("rejected", f"TooManyPending: {MAX_PENDING} clusters wait to be accepted or deleted")
        if cluster is None and not admission.rejected:
            created = await self._clusters.create(pending_cluster(name))
            admission = admit(name, info.cluster_uid, created, self._own_uid)
        if admission.rejected:
            self._metrics.dropped.labels(reason="identity").inc()
        if admission.conflict and cluster is not None:
            self._fleet.claimed(name, info.cluster_uid, self._clock())
        return admission

    def _reply(self, admission: Admission) -> RegisterReply:
        return RegisterReply(state=admission.state, reason=admission.reason, server_time=self._clock())

    def _drop(self, reason: str, exc: KubeAgentError) -> None:
        self._metrics.dropped.labels(reason=reason).inc()
        if may_say(reason):
            log.warning("a message was dropped", kind=reason, reason=exc.message)


def _agent_info(message: Incoming) -> AgentInfo:
    cluster_id = subjects.cluster_of(message.subject, "register")
    info = decode(message.data, AgentInfo)
    return _checked(info, cluster_id, message)


def _heartbeat(message: Incoming) -> tuple[Heartbeat, AgentInfo]:
    """A heartbeat, and what it says of the agent in the form of a registration."""
    cluster_id = subjects.cluster_of(message.subject, "heartbeat")
    beat = decode(message.data, Heartbeat)
    info = AgentInfo(
        cluster_id=beat.cluster_id,
        version=beat.version,
        cluster_uid=beat.cluster_uid,
        kubernetes_version=beat.kubernetes_version,
        nodes=beat.nodes,
        pods=beat.pods,
    )
    return beat, _checked(info, cluster_id, message)


def _checked(info: AgentInfo, cluster_id: str, message: Incoming) -> AgentInfo:
    """The info with the UID from wherever it was given. Raises BadMessage where the message contradicts itself."""
    if info.cluster_id != cluster_id:
        raise BadMessage(f"the body speaks of cluster {info.cluster_id[:80]!r}, the subject of {cluster_id!r}")
    uid = message.headers.get(HEADER_CLUSTER_UID, "")
    if uid and info.cluster_uid and uid != info.cluster_uid:
        raise BadMessage(f"header and body of cluster {cluster_id!r} name two cluster UIDs")
    uid = info.cluster_uid or uid
    if len(uid) > MAX_UID or not (uid.isascii() and uid.isprintable()):
        raise BadMessage(f"{uid[:80]!a} is not a cluster UID")
    return msgspec.structs.replace(info, cluster_uid=uid)
