"""Keeps the ManagedClusters: their status, their command queues, and the view that tasks have of them.

Level-triggered like tasks: an event, a heartbeat, a registration and a due time all end in the same `_settle`. A
heartbeat that changes nothing costs no API call; silence is noticed by a due time and not by asking everybody.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog
from pydantic import ValidationError

from kubeagent.errors import BusError, Conflict, KubeAgentError, NotFound
from kubeagent.hub.background import Bell, side_by_side
from kubeagent.hub.clock import Clock
from kubeagent.hub.due import DueTimes
from kubeagent.hub.fleet import Fleet
from kubeagent.hub.metrics import Metrics
from kubeagent.hub.queues import Queues
from kubeagent.hub.reconcile import cluster as pure
from kubeagent.hub.reconcile.observed import ClusterState, ClusterView
from kubeagent.hub.store import Kube, read, write_status
from kubeagent.kube.port import Object
from kubeagent.resources.base import API_VERSION
from kubeagent.resources.managedcluster import ManagedCluster
from kubeagent.resources.refs import ObjectKey

log = structlog.get_logger()

ROUNDS: Final = 5
"""Conflicts in a row that are worth another try at once."""


class Clusters:
    """Every ManagedCluster that the hub knows of."""

    def __init__(
        self,
        kube: Kube,
        queues: Queues,
        fleet: Fleet,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        bell: Bell,
    ) -> None:
        self._kube = kube
        self._queues = queues
        self._fleet = fleet
        self._metrics = metrics
        self._clock = clock
        self._bell = bell
        self._known: dict[str, ManagedCluster] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._states: dict[str, ClusterState] = {}
        self._due = DueTimes(rng)
        self.on_change: Callable[[str], None] = lambda name: None

    async def seen(self, body: Mapping[str, Any]) -> None:
        """The API server showed us a ManagedCluster."""
        name = str(body["metadata"]["name"])
        cluster = _parsed(body)
        if cluster is not None:
            self._known[name] = cluster
        await self._try(name)

    def forget(self, name: str) -> None:
        """The ManagedCluster was deleted."""
        self._known.pop(name, None)
        self._fleet.forget(name)
        self._due.forget(name)
        self._due.hasten(name, self._clock())  # its queue is still there
        self._changed(name, ClusterState.MISSING)

    async def view(self, name: str) -> ClusterView:
        """What a task needs to know of the cluster, as last seen. Raises KubeAgentError."""
        return self._view(name, self._known.get(name) or await self.fetch(name))

    async def live_view(self, name: str) -> ClusterView:
        """The same from the cluster as it is now: what a command is sent by. Raises KubeAgentError."""
        return self._view(name, await self.fetch(name))

    @property
    def pending(self) -> int:
        """How many wait for a person to accept them."""
        return sum(state is ClusterState.NOT_ACCEPTED for state in self._states.values())

    def known(self, name: str) -> ManagedCluster | None:
        """The cluster as last seen."""
        return self._known.get(name)

    async def fetch(self, name: str) -> ManagedCluster | None:
        """The cluster as it is now. Raises KubeAgentError."""
        try:
            cluster = _parsed(await read(self._kube, _key(name)))
        except NotFound:
            cluster = None
        self._remember(name, cluster)
        return cluster

    async def create(self, body: Object) -> ManagedCluster | None:
        """Make a ManagedCluster, or read the one that somebody else made meanwhile."""
        name = body["metadata"]["name"]
        try:
            created = _parsed(await self._kube.create(body))
        except Conflict:
            return await self.fetch(name)
        self._remember(name, created)
        return created

    async def settle(self, name: str) -> None:
        """Make the status what it should be. Raises KubeAgentError."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            for _ in range(ROUNDS):
                try:
                    await self._settle(name)
                except Conflict:
                    self._known.pop(name, None)
                else:
                    return
        self._due.failed(name, self._clock())

    def heard(self, name: str, before: pure.Contact) -> None:
        """A heartbeat came: look closer only if it may change something, and else only move the due time."""
        contact, cluster = self._fleet.contact(name), self._known.get(name)
        if cluster is None or self._matters(cluster, before, contact):
            self._due.hasten(name, self._clock())
            self._bell.ring()
        else:
            self._due.set(name, pure.silent_at(contact, self._fleet.hearing))

    async def sweep(self) -> None:
        """Look at every cluster that is due."""
        await side_by_side(self._try, self._due.take(self._clock()))

    def recheck(self) -> None:
        """The link to NATS changed: everything may look different."""
        now = self._clock()
        for name in self._known:
            self._due.hasten(name, now)
        self._bell.ring()

    def count(self) -> None:
        """Show the metrics."""
        by_state = dict.fromkeys(ClusterState, 0)
        del by_state[ClusterState.MISSING]
        for state in self._states.values():
            by_state[state] += 1
        self._metrics.count_agents({state.value.lower(): count for state, count in by_state.items()})

    def _view(self, name: str, cluster: ManagedCluster | None) -> ClusterView:
        if cluster is None:
            return pure.missing(name)
        return pure.view(cluster, self._fleet.contact(name), self._fleet.hearing, self._clock())

    def _remember(self, name: str, cluster: ManagedCluster | None) -> None:
        if cluster is None:
            self._known.pop(name, None)
        else:
            self._known[name] = cluster

    async def _try(self, name: str) -> None:
        """Settle, and come back later if that fails."""
        try:
            await self.settle(name)
        except KubeAgentError as exc:
            self._failed(name, exc)
        except Exception:
            log.exception("a managed cluster could not be reconciled", cluster=name)
            self._failed(name, None)

    def _failed(self, name: str, exc: KubeAgentError | None) -> None:
        self._metrics.failures.labels(kind="ManagedCluster").inc()
        again = self._due.failed(name, self._clock())
        if exc is not None:
            log.warning(
                "a managed cluster is looked at again", cluster=name, code=exc.code, reason=exc.message, at=again
            )

    async def _settle(self, name: str) -> None:
        """One round: decide and write."""
        self._due.begin(name)
        cluster = self._known.get(name) or await self.fetch(name)
        if cluster is None:
            await self._queues.remove(name)
            self._changed(name, ClusterState.MISSING)
            return
        now, contact, hearing = self._clock(), self._fleet.contact(name), self._fleet.hearing
        wanted = pure.next_status(cluster, contact, hearing, now)
        version = cluster.metadata.resource_version
        try:
            written = await write_status(self._kube, cluster.key, version, cluster.status, wanted)
        except NotFound:
            self.forget(name)
            return
        if written is not None:
            self._known[name] = _parsed(written) or cluster
        self._due.set(name, max(pure.silent_at(contact, hearing), now + timedelta(seconds=1)))
        await self._ensure_queue(name)
        self._changed(name, pure.view(self._known.get(name, cluster), contact, hearing, now).state)

    async def _ensure_queue(self, name: str) -> None:
        try:
            await self._queues.ensure(name)
        except BusError as exc:
            log.debug("a command queue is made later", cluster=name, reason=exc.message)

    def _matters(self, cluster: ManagedCluster, before: pure.Contact, contact: pure.Contact) -> bool:
        """Whether the heartbeat says anything new, or lastHeartbeatTime is old."""
        old, new = before.beat, contact.beat
        if old is None or new is None or self._due.get(cluster.metadata.name) is None:
            return True
        if (old.status, old.info.version, old.info.cluster_uid) != (new.status, new.info.version, new.info.cluster_uid):
            return True
        written = cluster.status.last_heartbeat_time
        return written is None or new.received - written >= pure.WRITE_INTERVAL or self._offline(cluster)

    def _offline(self, cluster: ManagedCluster) -> bool:
        return self._states.get(cluster.metadata.name) is not ClusterState.ONLINE and cluster.spec.accepted

    def _changed(self, name: str, state: ClusterState) -> None:
        if state is ClusterState.MISSING:
            changed = self._states.pop(name, None) is not None
        else:
            changed = self._states.get(name) is not state
            self._states[name] = state
        if changed:
            self.on_change(name)


def _key(name: str) -> ObjectKey:
    return ObjectKey(API_VERSION, "ManagedCluster", "", name)


def _parsed(body: Mapping[str, Any]) -> ManagedCluster | None:
    try:
        return ManagedCluster.parse(body)
    except ValidationError as exc:
        log.warning("a managed cluster cannot be read", cluster=body.get("metadata", {}).get("name"), reason=str(exc))
        return None
