"""Who may speak under a cluster's name: the answer to a registration, or to a heartbeat.

The first kube-system UID that registers under a name keeps it, unless a person pinned another in spec.clusterUID;
`local` belongs to the hub's own cluster. A name that has a UID is refused to an agent that has none, or the pin
would be no more than a wish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kubeagent.resources.diagnosistask import LOCAL
from kubeagent.resources.managedcluster import ManagedCluster


@dataclass(frozen=True, slots=True)
class Admission:
    """The hub's answer; `conflict` says that the claim is worth a condition."""

    state: Literal["accepted", "pending", "rejected"]
    reason: str
    conflict: bool = False

    @property
    def rejected(self) -> bool:
        """Whether the agent may not use the name."""
        return self.state == "rejected"


def admit(name: str, uid: str, cluster: ManagedCluster | None, own_uid: str) -> Admission:
    """Whether an agent whose cluster has this UID ("" if it did not say) may speak as `name`."""
    if name == LOCAL and uid != own_uid:
        reason = "IdentityConflict: the name 'local' belongs to the hub's own cluster; choose another CLUSTER_ID"
        return Admission("rejected", reason, conflict=True)
    pinned = pinned_uid(cluster)
    if pinned and not uid:
        reason = f"IdentityRequired: {name} is pinned to a kube-system UID, and this agent names none"
        return Admission("rejected", reason, conflict=True)
    if pinned and uid != pinned:
        reason = f"IdentityConflict: {name} is in use by a cluster with another kube-system UID"
        return Admission("rejected", reason, conflict=True)
    if cluster is None or not cluster.spec.accepted:
        return Admission("pending", f"NotAccepted: run `kubeagent cluster accept {name}` on the hub's cluster")
    return Admission("accepted", "")


def pinned_uid(cluster: ManagedCluster | None) -> str:
    """The UID that the name belongs to, as far as it is known: a person's word before the first to come."""
    if cluster is None:
        return ""
    return cluster.spec.cluster_uid or cluster.status.cluster_uid or ""


def pending_cluster(name: str) -> dict[str, object]:
    """The ManagedCluster that a first registration makes: known, and not accepted."""
    return {
        "apiVersion": "kubeagent.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": name},
        "spec": {"accepted": False},
    }
