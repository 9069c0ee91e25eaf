"""An agent written from the founding documents alone: core publish and subscribe, no headers, no JetStream, no uid.

It also plays the stranger who publishes garbage. Every call is its own short connection.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import nats
from nats.aio.client import Client


@dataclass
class SeedAgent:
    """One cluster's agent, as the seeds would write it."""

    cluster_id: str
    url: str
    last_beat: float = field(default=0.0)

    def register(self) -> None:
        """Publish AgentInfo; no answer is waited for."""
        self._publish(
            "register",
            {
                "cluster_id": self.cluster_id,
                "version": "v1.0.0",
                "start_time": _now(),
                "capabilities": ["event_watch", "metrics_collect", "command_execute"],
            },
        )

    def beat(self) -> None:
        """Publish one Heartbeat."""
        sizes = {"event_queue_size": 0, "metrics_queue_size": 0, "command_queue_size": 0}
        self._publish(
            "heartbeat",
            {"cluster_id": self.cluster_id, "timestamp": _now(), "status": "healthy", "metrics": sizes},
        )
        self.last_beat = time.monotonic()

    def say(self, channel: str, body: bytes) -> None:
        """Publish anything."""
        asyncio.run(self._send(f"agent.{channel}.{self.cluster_id}", body))

    def _publish(self, channel: str, message: dict[str, Any]) -> None:
        self.say(channel, json.dumps(message).encode())

    async def _send(self, subject: str, body: bytes) -> None:
        async def publish(client: Client) -> None:
            await client.publish(subject, body)
            await client.flush()

        await self._connected(publish)

    async def _connected(self, work: Callable[[Client], Awaitable[None]]) -> None:
        client = await nats.connect(self.url, connect_timeout=5, max_reconnect_attempts=2)
        try:
            await work(client)
        finally:
            await client.close()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
