"""The next status of a ManagedCluster, and whether commands may go there: from its spec, what its agent said, and now.

Time is the hub's and the NATS server's, never the agent's. While the hub itself is deaf, or has only just begun to
listen, what was known stays: silence counts from when it could have been heard, so that a restart of hub or NATS
declares nobody offline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kubeagent.hub.reconcile.observed import ClusterState, ClusterView
from kubeagent.protocol.messages import AgentInfo
from kubeagent.resources.base import to_rfc3339
from kubeagent.resources.conditions import Condition, Status, find, with_condition, without
from kubeagent.resources.managedcluster import ManagedCluster, ManagedClusterStatus

WRITE_INTERVAL: Final = timedelta(minutes=1)
"""lastHeartbeatTime and the counts are written at most this often, or with another change."""
CONFLICT_MEMORY: Final = timedelta(minutes=10)
"""How long a foreign claim is shown after it was last heard."""
_MAX_WORDS: Final = 50
_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat: `received` by the server's clock, `heard` by the hub's."""

    received: datetime
    heard: datetime
    info: AgentInfo
    status: str = "healthy"


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody else speaks under the cluster's name."""

    uid: str
    heard: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """All that was heard of one cluster since the hub started."""

    registered: AgentInfo | None = None
    beat: Beat | None = None
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Hearing:
    """Whether the hub is connected, and since when that is so."""

    connected: bool
    since: datetime
    timeout: timedelta = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Availability:
    """The Available condition, to be."""

    status: Status
    reason: str
    message: str

    @property
    def alive(self) -> bool:
        """Whether the agent is there; it may still say that something is wrong with its cluster."""
        return self.status != "Unknown"


def availability(cluster: ManagedCluster, contact: Contact, hearing: Hearing, now: datetime) -> Availability:
    """Whether the agent speaks, and what it says of its health."""
    beat = contact.beat
    if beat is not None and now - beat.heard < hearing.timeout:
        return _by_word(beat)
    before = find(cluster.status.conditions, "Available")
    if now - hearing.since < hearing.timeout and before is not None:
        return Availability(before.status, before.reason, before.message)
    if not hearing.connected:
        return Availability("Unknown", "HubDisconnected", "the hub has no connection to NATS and hears no agent")
    last = beat.received if beat else cluster.status.last_heartbeat_time
    if last is None:
        return Availability("Unknown", "NeverSeen", "no heartbeat was ever heard; is the agent running?")
    return Availability("Unknown", "AgentSilent", f"no heartbeat since {to_rfc3339(last)}")


def silent_at(contact: Contact, hearing: Hearing) -> datetime:
    """When availability must be looked at again, if nothing is heard until then."""
    heard = max(contact.beat.heard, hearing.since) if contact.beat else hearing.since
    return heard + hearing.timeout


def view(cluster: ManagedCluster, contact: Contact, hearing: Hearing, now: datetime) -> ClusterView:
    """What a task needs to know of the cluster."""
    spec, status = cluster.spec, cluster.status
    registered = contact.registered.capabilities if contact.registered else None
    capabilities = registered or status.capabilities
    available = availability(cluster, contact, hearing, now)
    return ClusterView(
        name=cluster.metadata.name,
        state=_state(cluster, available),
        silence=available.message,
        uid=spec.cluster_uid or status.cluster_uid or "",
        capabilities=frozenset(capabilities) if capabilities else None,
        target_namespaces=spec.target_namespaces,
    )


def missing(name: str) -> ClusterView:
    """The view of a cluster that nobody has made."""
    return ClusterView(name, ClusterState.MISSING)


def next_status(cluster: ManagedCluster, contact: Contact, hearing: Hearing, now: datetime) -> ManagedClusterStatus:
    """The whole next status; equal to the present one if there is nothing to write."""
    before = cluster.status
    status = _identified(before, cluster, contact)
    status = status.model_copy(
        update={
            "conditions": _conditions(status, cluster, contact, hearing, now),
            "observed_generation": cluster.metadata.generation,
        }
    )
    return _with_beat(status, before, contact)


def _by_word(beat: Beat) -> Availability:
    if beat.status == "healthy":
        return Availability("True", "AgentHealthy", "the agent's heartbeats arrive")
    return Availability("False", "AgentUnhealthy", f"the agent says {beat.status[:100]!r} of itself")


def _state(cluster: ManagedCluster, available: Availability) -> ClusterState:
    if not cluster.spec.accepted:
        return ClusterState.NOT_ACCEPTED
    if cluster.spec.paused:
        return ClusterState.PAUSED
    return ClusterState.ONLINE if available.alive else ClusterState.OFFLINE


def _identified(before: ManagedClusterStatus, cluster: ManagedCluster, contact: Contact) -> ManagedClusterStatus:
    """What the agent said of itself; what it did not say stays as it was."""
    said: dict[str, object] = {}
    for info in (contact.registered, contact.beat.info if contact.beat else None):
        if info is not None:
            said |= _said(info)
    if cluster.spec.cluster_uid and before.cluster_uid not in (None, cluster.spec.cluster_uid):
        said.setdefault("cluster_uid", None)  # a person pinned another identity than the one that came first
    return before.model_copy(update=said)


def _said(info: AgentInfo) -> dict[str, object]:
    said: dict[str, object] = {
        "cluster_uid": info.cluster_uid[:128],
        "provider": info.provider[:128],
        "kubernetes_version": info.kubernetes_version[:128],
        "agent_version": info.version[:128],
        "capabilities": tuple(sorted({word[:128] for word in info.capabilities}))[:_MAX_WORDS],
    }
    return {key: value for key, value in said.items() if value}


def _conditions(
    status: ManagedClusterStatus, cluster: ManagedCluster, contact: Contact, hearing: Hearing, now: datetime
) -> tuple[Condition, ...]:
    name = cluster.metadata.name
    available = availability(cluster, contact, hearing, now)
    facts: list[tuple[str, Status, str, str]] = [
        _joined(status, contact),
        _accepted(cluster),
        ("Available", available.status, available.reason, available.message),
        _verified(status),
    ]
    conditions = status.conditions
    conflict = _conflict(name, status, contact, hearing, now)
    conditions = conditions if conflict else without(conditions, "IdentityConflict")
    for fact in [*facts, *conflict]:
        conditions = with_condition(conditions, *fact, now=now, generation=cluster.metadata.generation)
    return conditions


def _joined(status: ManagedClusterStatus, contact: Contact) -> tuple[str, Status, str, str]:
    before = find(status.conditions, "Joined")
    if contact.registered or contact.beat or (before is not None and before.status == "True"):
        return "Joined", "True", "Registered", f"agent {status.agent_version or 'of unknown version'} has registered"
    return "Joined", "False", "NotRegistered", "no agent has registered under this name yet"


def _accepted(cluster: ManagedCluster) -> tuple[str, Status, str, str]:
    name = cluster.metadata.name
    if not cluster.spec.accepted:
        return "Accepted", "False", "NotAccepted", f"run `kubeagent cluster accept {name}` to let tasks run here"
    if cluster.spec.paused:
        return "Accepted", "True", "Paused", "accepted, and paused: nothing is sent to it"
    return "Accepted", "True", "Accepted", "spec.accepted is true"


def _verified(status: ManagedClusterStatus) -> tuple[str, Status, str, str]:
    if status.cluster_uid:
        return "IdentityVerified", "True", "ClusterUIDKnown", "the agent speaks for the kube-system UID in status"
    return "IdentityVerified", "False", "NoIdentity", "the agent named no cluster UID; remediation stays off"


def _conflict(
    name: str, status: ManagedClusterStatus, contact: Contact, hearing: Hearing, now: datetime
) -> list[tuple[str, Status, str, str]]:
    """Present while another cluster claims the name; a hub that has just started keeps what it finds."""
    claim, before = contact.claim, find(status.conditions, "IdentityConflict")
    if claim is not None and now - claim.heard < CONFLICT_MEMORY:
        message = (
            f"an agent of another cluster (kube-system UID {claim.uid[:64] or 'unknown'}) claims the name {name} and "
            "is refused; give it another CLUSTER_ID"
        )
        return [("IdentityConflict", "True", "ForeignUID", message)]
    if claim is None and before is not None and now - hearing.since < CONFLICT_MEMORY:
        return [("IdentityConflict", before.status, before.reason, before.message)]
    return []


def _with_beat(status: ManagedClusterStatus, before: ManagedClusterStatus, contact: Contact) -> ManagedClusterStatus:
    """lastHeartbeatTime and the counts, if it is time or something else is written anyway."""
    beat = contact.beat
    if beat is None:
        return status
    last = before.last_heartbeat_time
    if last is not None and beat.received - last < WRITE_INTERVAL and status == before:
        return status
    counts = {"nodes": beat.info.nodes, "pods": beat.info.pods}
    said = {key: min(max(0, value), _MOST) for key, value in counts.items() if value is not None}
    return status.model_copy(update={"last_heartbeat_time": beat.received.replace(microsecond=0), **said})
