"""ManagedCluster (managedclusters.kubeagent.io): a cluster that an agent speaks for, and what we may do there.

An agent that registers creates it un-accepted; nothing is dispatched to it until a person accepts. Open Cluster
Management has a kind of the same name in another group, so documents always write the full resource name.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from kubeagent.resources.base import Label, Model, Sentence, Timestamp, Word, extra, rule
from kubeagent.resources.conditions import Conditions
from kubeagent.resources.kind import Column, Resource

Count = Annotated[int, Field(ge=0)]
Namespaces = Annotated[tuple[Label, ...], Field(max_length=500, json_schema_extra=extra(list_type="set"))]


class Approvers(Model):
    """How many distinct people must approve a plan of each risk."""

    low: Annotated[int, Field(ge=1, le=10)] = 1
    medium: Annotated[int, Field(ge=1, le=10)] = 1
    high: Annotated[int, Field(ge=1, le=10)] = 2


class AgentConfig(Model):
    """Settings that the hub sends to the agent; absent means the agent's own."""

    heartbeat_interval_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    metrics_interval_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    log_level: Literal["debug", "info", "warning", "error"] | None = None


class ManagedClusterSpec(Model):
    """What a person decided about the cluster."""

    accepted: bool = False
    cluster_uid: Annotated[str, Field(max_length=128)] | None = Field(default=None, alias="clusterUID")
    display_name: Annotated[str, Field(max_length=253)] | None = None
    paused: bool = False
    agent_config: AgentConfig | None = None
    remediation: Literal["Disabled", "Enabled"] = "Disabled"
    auto_remediation: Literal["Never", "Allowed"] = "Never"
    approvers: Approvers = Approvers()
    target_namespaces: Namespaces | None = None
    remediation_namespaces: Namespaces | None = None

    cel_rules: ClassVar[tuple[dict[str, str], ...]] = (
        rule(
            "!has(self.remediationNamespaces) || !self.remediationNamespaces.exists(n, n.startsWith('kube-'))",
            "remediationNamespaces may not name a kube-* namespace",
            fieldPath=".remediationNamespaces",
        ),
    )


class ManagedClusterStatus(Model):
    """What the agent said, and when."""

    conditions: Conditions = ()
    cluster_uid: Annotated[str, Field(max_length=128)] | None = Field(default=None, alias="clusterUID")
    provider: Word | None = None
    kubernetes_version: Word | None = None
    agent_version: Word | None = None
    capabilities: Annotated[tuple[Word, ...], Field(max_length=50)] | None = None
    nodes: Count | None = None
    pods: Count | None = None
    last_heartbeat_time: Timestamp | None = None
    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    message: Sentence | None = None


class ManagedCluster(Resource):
    """A cluster as the API server holds it."""

    kind: Literal["ManagedCluster"] = "ManagedCluster"
    spec: ManagedClusterSpec = ManagedClusterSpec()
    status: ManagedClusterStatus = ManagedClusterStatus()

    plural: ClassVar[str] = "managedclusters"
    short_names: ClassVar[tuple[str, ...]] = ("kmc",)
    description: ClassVar[str] = "A cluster that an edge agent speaks for."
    namespaced: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Accepted", ".spec.accepted", type="boolean"),
        Column("Available", '.status.conditions[?(@.type=="Available")].status'),
        Column("Kubernetes", ".status.kubernetesVersion"),
        Column("Nodes", ".status.nodes", type="integer"),
        Column("Pods", ".status.pods", type="integer"),
        Column("Remediation", ".spec.remediation"),
        Column("Last Seen", ".status.lastHeartbeatTime", type="date"),
        Column("Age", ".metadata.creationTimestamp", type="date"),
        Column("Agent", ".status.agentVersion", priority=1),
        Column("Provider", ".status.provider", priority=1),
        Column("Message", '.status.conditions[?(@.type=="Available")].message', priority=1),
    )
    name_rule: ClassVar[dict[str, str]] = rule(
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
        "a cluster's name is a DNS label: at most 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
    )

    @classmethod
    def parse(cls, body: Any) -> Self:
        """The cluster in a body from the API server. Raises pydantic.ValidationError."""
        return cls.model_validate(dict(body))
