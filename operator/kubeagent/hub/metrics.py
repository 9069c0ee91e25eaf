"""What the hub counts: our own names beside the seeds', with labels that stay few.

A registry of its own per hub, so that two hubs in one process (tests) do not share counters.
"""

from __future__ import annotations

from collections.abc import Mapping

from kubeagent.telemetry.metrics import DURATION_BUCKETS, CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The hub's metrics on one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.diagnoses = Counter(
            "kubeagent_diagnosis",
            "Finished tasks by result (outcome, or why it ended)",
            ["result"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "kubeagent_request_duration_seconds",
            "From the command to its usable answer",
            ["agent", "action"],
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.dropped = Counter(
            "kubeagent_messages_dropped",
            "Messages that were not processed, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.failures = Counter(
            "kubeagent_reconcile_failures",
            "Looks at an object that failed and are repeated",
            ["kind"],
            registry=self.registry,
        )
        self.commands = Counter(
            "aetherius_agent_commands",
            "Commands by cluster and status",
            ["cluster_id", "status"],
            registry=self.registry,
        )
        self.agents = Gauge("aetherius_agent_total", "Clusters by status", ["status"], registry=self.registry)
        self.connected = Gauge(
            "kubeagent_bus_connected", "1 while the hub is connected to NATS", registry=self.registry
        )

    def count_agents(self, by_status: Mapping[str, int]) -> None:
        """Show how many clusters are in which state."""
        self.agents.clear()
        for status, count in by_status.items():
            self.agents.labels(status=status).set(count)
