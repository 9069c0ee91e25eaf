"""The command queue of each accepted cluster: made before its agent first asks, once per connection to NATS.

Only the hub makes queues; an agent can only read its own. A NATS that lost its store gets them again on reconnect.
"""

from __future__ import annotations

from typing import Protocol

from kubeagent.bus.port import Bus


class CommandBus(Bus, Protocol):
    """A bus that can also make the queue of a cluster."""

    async def ensure_command_consumer(self, cluster_id: str) -> None:
        """Make the queue of one cluster. Safe to repeat."""
        ...


class Queues:
    """Which queues exist, as far as this connection knows."""

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus
        self._made: set[str] = set()

    async def ensure(self, cluster: str) -> None:
        """Make the cluster's queue if that was not done on this connection. Raises BusError."""
        if cluster in self._made or not self._bus.connected:
            return
        await self._bus.ensure_command_consumer(cluster)
        self._made.add(cluster)

    def forget(self, cluster: str) -> None:
        """The cluster is gone."""
        self._made.discard(cluster)

    def reconnected(self) -> None:
        """A new connection: what was made may be lost."""
        self._made.clear()
