"""The command queue of each cluster: made before its agent first asks, and now and then again.

A cluster has its queue from its registration on, so that the first command after a person accepted it finds an agent
that listens; nothing is sent into the queue of one that is not accepted. Only the hub makes queues; an agent can only
read its own. A NATS that lost its store gets them again on reconnect, a queue that was deleted within AGAIN_AFTER.
"""

from __future__ import annotations

import time
from typing import Final

from kubeagent.bus.port import HubBus

AGAIN_AFTER: Final = 30.0


class Queues:
    """Which queues exist, as far as this connection knows."""

    def __init__(self, bus: HubBus) -> None:
        self._bus = bus
        self._made: dict[str, float] = {}

    async def ensure(self, cluster: str) -> None:
        """Make the cluster's queue if that was not done lately on this connection. Raises BusError."""
        now = time.monotonic()
        if now - self._made.get(cluster, float("-inf")) < AGAIN_AFTER or not self._bus.connected:
            return
        await self._bus.ensure_command_consumer(cluster)
        self._made[cluster] = now

    async def remove(self, cluster: str) -> None:
        """The cluster is gone. Raises BusError."""
        if self._made.pop(cluster, None) is not None and self._bus.connected:
            await self._bus.remove_command_consumer(cluster)

    def reconnected(self) -> None:
        """A new connection: what was made may be lost."""
        self._made.clear()
