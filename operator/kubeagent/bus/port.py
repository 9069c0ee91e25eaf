"""What hub and edge need of a message bus, and no more: so that NATS is one adapter and a test can be another.

Delivery is at least once: a `Delivery` is acknowledged after its effect is stored, and comes again otherwise. A
publication with the same message id within the stream's window is stored once. Errors are the tree's BusError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol


class Incoming(NamedTuple):
    """A message as it came: subject, body, headers, and the server's own time of receipt where it has one."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    received: datetime | None = None


class Delivery(Protocol):
    """A stored message that waits for our word."""

    @property
    def message(self) -> Incoming:
        """What came."""
        ...

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        ...

    async def ack(self) -> None:
        """Its effect is stored: never deliver it again."""
        ...

    async def retry(self, after: timedelta) -> None:
        """Not now: deliver it again later."""
        ...

    async def drop(self) -> None:
        """It can never be processed: do not deliver it again."""
        ...

    async def working(self) -> None:
        """Still at it: do not give it to another consumer yet."""
        ...


Responder = Callable[[Incoming], Awaitable[bytes]]


class Bus(Protocol):
    """One connection. Everything may raise BusUnavailable."""

    @property
    def connected(self) -> bool:
        """Whether the link is up right now."""
        ...

    async def connection(self, after: int = 0) -> int:
        """Wait for a connection with a number above `after`, and return its number: to do something on each one."""
        ...

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        message_id: str = "",
        ttl: timedelta | None = None,
    ) -> bool:
        """Store a message; False if the stream had that message id already. Raises QueueFull, MessageTooLarge."""
        ...

    async def notify(self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Send without storing or waiting: heartbeats."""
        ...

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout: timedelta
    ) -> Incoming:
        """Ask and wait for the one answer."""
        ...

    async def respond(self, subject: str, queue: str, responder: Responder) -> None:
        """Answer requests on a subject (wildcards allowed) until the bus is closed; plain publishes come here too."""
        ...

    def consume(self, stream: str, consumer: str) -> AsyncIterator[Delivery]:
        """Deliveries of a durable consumer, one after another, for as long as the caller goes on."""
        ...

    def latest(self, stream: str) -> AsyncIterator[Incoming]:
        """The last message of each subject of a stream, then every new one, unacknowledged: heartbeats."""
        ...

    async def close(self) -> None:
        """Finish what is under way and disconnect."""
        ...


class HubBus(Bus, Protocol):
    """What only the hub may do: the queues of the clusters are its own to make and to forget."""

    async def ensure_command_consumer(self, cluster_id: str) -> None:
        """Make the queue of one cluster. Safe to repeat."""
        ...

    async def remove_command_consumer(self, cluster_id: str) -> None:
        """Forget the queue of one cluster. Safe to repeat."""
        ...
