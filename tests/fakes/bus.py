"""The bus in memory: what units use instead of NATS. tests/contract proves that it behaves as the real adapter does.

A `Broker` plays the server, with the streams of kubeagent.bus.streams; each `FakeBus` is one process's connection to
it. `lose()` takes a connection away and `find()` gives it back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle

from kubeagent.bus import streams
from kubeagent.bus.port import Delivery, Incoming, Responder
from kubeagent.errors import BusUnavailable, MessageTooLarge, QueueFull
from kubeagent.protocol.messages import HEADER_MSG_ID, HEADER_TTL, MAX_MESSAGE_BYTES

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Stored:
    message: Incoming
    expires: datetime | None


@dataclass
class _Log:
    """One stream: everything stored (by sequence), and the message ids seen."""

    spec: streams.Stream
    stored: dict[int, _Stored] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    sequence: int = 0


@dataclass
class _Queue:
    """One durable consumer: what was delivered how often, and what waits."""

    filter: str
    position: int = 0
    attempts: dict[int, int] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)


class Broker:
    """The server: streams, consumers, subscriptions."""

    def __init__(self, now: Clock = _now) -> None:
        self.now = now
        self.changed = asyncio.Condition()
        self.logs = {each.name: _Log(each) for each in streams.STREAMS}
        self.queues: dict[tuple[str, str], _Queue] = {}
        self.responders: dict[tuple[str, str], list[tuple[FakeBus, Responder]]] = {}
        self._turns: dict[tuple[str, str], Iterator[int]] = {}
        for each in streams.HUB_CONSUMERS:
            self.queues[each.stream, each.name] = _Queue(each.filter_subject)

    async def store(self, message: Incoming, ttl: timedelta | None) -> bool:
        """Append to the stream of the subject; False for a duplicate."""
        log = self._log_of(message.subject)
        message_id = message.headers.get(HEADER_MSG_ID, "")
        if message_id and message_id in log.seen:
            return False
        mine = [seq for seq in self._alive(log) if log.stored[seq].message.subject == message.subject]
        if log.spec.per_subject > 0 and len(mine) >= log.spec.per_subject:
            if log.spec.refuse_when_full:
                raise QueueFull(f"{len(mine)} messages wait on {message.subject} already")
            del log.stored[mine[0]]
        log.sequence += 1
        now = self.now()
        log.stored[log.sequence] = _Stored(message._replace(received=now), now + ttl if ttl else None)
        log.seen.add(message_id)
        async with self.changed:
            self.changed.notify_all()
        return True

    def take(self, stream: str, consumer: str) -> tuple[int, int, Incoming] | None:
        """The next delivery of a consumer: sequence, attempt, message."""
        queue, log = self.queues.get((stream, consumer)), self.logs[stream]
        if queue is None:
            return None
        fresh = [seq for seq in self._alive(log) if seq > queue.position]
        waiting = [seq for seq in queue.again if seq in log.stored] + fresh
        for seq in waiting:
            message = log.stored[seq].message
            if queue.filter and message.subject != queue.filter:
                continue
            queue.position = max(queue.position, seq)
            queue.again = [each for each in queue.again if each != seq]
            queue.attempts[seq] = queue.attempts.get(seq, 0) + 1
            return seq, queue.attempts[seq], message
        return None

    def responder(self, subject: str) -> tuple[FakeBus, Responder] | None:
        """Whose turn it is to answer."""
        for (pattern, queue), members in self.responders.items():
            if matches(pattern, subject):
                members = [each for each in members if each[0].connected]
                turn = self._turns.setdefault((pattern, queue), cycle(range(1_000_000)))
                return members[next(turn) % len(members)] if members else None
        return None

    def _log_of(self, subject: str) -> _Log:
        for log in self.logs.values():
            if matches(log.spec.subject, subject):
                return log
        raise BusUnavailable(f"no stream takes {subject}")

    def _alive(self, log: _Log) -> list[int]:
        now = self.now()
        for seq in [seq for seq, each in log.stored.items() if each.expires and each.expires <= now]:
            del log.stored[seq]
        return list(log.stored)


@dataclass
class FakeDelivery:
    """A delivery; `words` records what was said about it."""

    broker: Broker
    queue: _Queue
    sequence: int
    message: Incoming
    attempt: int
    words: list[str] = field(default_factory=list)

    async def ack(self) -> None:
        """Done."""
        self.words.append("ack")

    async def retry(self, after: timedelta) -> None:
        """Again, after a while."""
        self.words.append("retry")
        asyncio.get_running_loop().call_later(after.total_seconds(), self._again)

    async def drop(self) -> None:
        """Never again."""
        self.words.append("drop")

    async def working(self) -> None:
        """Still at it."""
        self.words.append("working")

    def _again(self) -> None:
        self.queue.again.append(self.sequence)
        asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self.broker.changed:
            self.broker.changed.notify_all()


class FakeBus:
    """One process's connection to a Broker."""

    def __init__(self, broker: Broker | None = None) -> None:
        self.broker = broker or Broker()
        self.sent: list[Incoming] = []
        self._number = 1
        self._up = True

    @property
    def connected(self) -> bool:
        """Whether lose() was not called."""
        return self._up

    async def lose(self) -> None:
        """Take the connection away."""
        await self._set(up=False)

    async def find(self) -> None:
        """Give the connection back, under the next number."""
        self._number += 1
        await self._set(up=True)

    async def connection(self, after: int = 0) -> int:
        """Wait for a connection with a number above `after`."""
        async with self.broker.changed:
            await self.broker.changed.wait_for(lambda: self._up and self._number > after)
        return self._number

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        message_id: str = "",
        ttl: timedelta | None = None,
    ) -> bool:
        """Store a message; False if the stream had that message id already."""
        all_headers = dict(headers or {})
        if message_id:
            all_headers[HEADER_MSG_ID] = message_id
        if ttl is not None:
            all_headers[HEADER_TTL] = str(max(1, round(ttl.total_seconds())))
        message = self._message(subject, data, all_headers)
        new = await self.broker.store(message, ttl)
        self.sent.append(message)
        return new

    async def notify(self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Send without waiting; a stream takes it if one wants it."""
        message = self._message(subject, data, dict(headers or {}))
        self.sent.append(message)
        with contextlib.suppress(BusUnavailable, QueueFull):
            await self.broker.store(message, None)
        self._ask(message)

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout: timedelta
    ) -> Incoming:
        """Ask and wait for the one answer."""
        message = self._message(subject, data, dict(headers or {}))
        self.sent.append(message)
        answering = self._ask(message)
        if answering is None:
            raise BusUnavailable(f"nobody answers on {subject}")
        try:
            answer = await asyncio.wait_for(answering, timeout.total_seconds())
        except Exception as exc:
            raise BusUnavailable(f"no answer on {subject} in time") from exc
        return Incoming("_INBOX.fake", answer, {})

    async def respond(self, subject: str, queue: str, responder: Responder) -> None:
        """Answer requests on a subject."""
        self.broker.responders.setdefault((subject, queue), []).append((self, responder))

    async def consume(self, stream: str, consumer: str) -> AsyncIterator[Delivery]:
        """Deliveries of a durable consumer."""
        while True:
            async with self.broker.changed:
                while not self._up or (taken := self.broker.take(stream, consumer)) is None:
                    await self.broker.changed.wait()
            sequence, attempt, message = taken
            yield FakeDelivery(self.broker, self.broker.queues[stream, consumer], sequence, message, attempt)

    async def latest(self, stream: str) -> AsyncIterator[Incoming]:
        """The last message of each subject, then every new one."""
        log = self.broker.logs[stream]
        position = log.sequence
        last = {each.message.subject: each.message for each in log.stored.values()}
        for message in last.values():
            yield message
        while True:
            async with self.broker.changed:
                while log.sequence <= position:
                    await self.broker.changed.wait()
            for seq in [seq for seq in log.stored if seq > position]:
                yield log.stored[seq].message
                position = seq
            position = max(position, log.sequence)

    async def close(self) -> None:
        """Disconnect for good."""
        await self._set(up=False)

    async def ensure_command_consumer(self, cluster_id: str) -> None:
        """Make the queue of one cluster."""
        spec = streams.command_consumer(cluster_id)
        self.broker.queues.setdefault((spec.stream, spec.name), _Queue(spec.filter_subject))
        async with self.broker.changed:
            self.broker.changed.notify_all()

    async def remove_command_consumer(self, cluster_id: str) -> None:
        """Forget the queue of one cluster."""
        self.broker.queues.pop((streams.COMMANDS, cluster_id), None)

    def _message(self, subject: str, data: bytes, headers: dict[str, str]) -> Incoming:
        if not self._up:
            raise BusUnavailable("no connection")
        size = len(data) + sum(len(key) + len(value) + 4 for key, value in headers.items()) + 12
        if size > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(f"{size} bytes for {subject}")
        return Incoming(subject, data, headers)

    def _ask(self, message: Incoming) -> Awaitable[bytes] | None:
        found = self.broker.responder(message.subject)
        if found is None:
            return None
        return asyncio.ensure_future(found[1](message))

    async def _set(self, *, up: bool) -> None:
        self._up = up
        async with self.broker.changed:
            self.broker.changed.notify_all()


def matches(pattern: str, subject: str) -> bool:
    """NATS subject matching, with `*` for one token."""
    wanted, given = pattern.split("."), subject.split(".")
    return len(wanted) == len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=True))
