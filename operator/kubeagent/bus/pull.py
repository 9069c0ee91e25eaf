"""Pulls messages of a durable consumer: short requests in a loop, over whatever connection there is.

A request asks the server for up to `batch` messages and expires after a few seconds, so that a lost one costs little
(a request that was under way when a server restarts is never answered). No idle heartbeats are asked for: the server
refuses them for short requests. A server that has the consumer answers an expired request with status 408; status 503
or silence means that the consumer does not exist yet: an agent that no person has accepted so far asks ever less often.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from kubeagent.bus import streams
from kubeagent.bus.link import Connection, Link
from kubeagent.bus.port import Incoming
from kubeagent.errors import BusUnavailable
from kubeagent.telemetry.logs import may_say

log = structlog.get_logger()

EXPIRES: Final = 5.0
EXPIRES_UNANSWERED: Final = 1.0
GRACE: Final = 1.0
PAUSE: Final = 0.5
MAX_PAUSE: Final = 4.0

_OVER: Final = {"404", "408", "409"}


class NatsDelivery:
    """A stored message that waits for our word; the word goes out over the connection of that moment."""

    __slots__ = ("_link", "_message", "_reply", "attempt")

    def __init__(self, link: Link, msg: Msg) -> None:
        metadata = msg.metadata
        self._link = link
        self._reply = msg.reply
        self._message = incoming(msg, metadata.timestamp)
        self.attempt = metadata.num_delivered

    @property
    def message(self) -> Incoming:
        """What came."""
        return self._message

    async def ack(self) -> None:
        """Its effect is stored."""
        await self._say(b"+ACK")

    async def retry(self, after: timedelta) -> None:
        """Not now."""
        await self._say(b"-NAK " + msgspec.json.encode({"delay": int(after.total_seconds() * 1e9)}))

    async def drop(self) -> None:
        """Never again."""
        await self._say(b"+TERM")

    async def working(self) -> None:
        """Still at it."""
        await self._say(b"+WPI")

    async def _say(self, word: bytes) -> None:
        connection = self._link.current() or await self._link.within(EXPIRES)
        try:
            await connection.client.publish(self._reply, word)
        except (NatsError, OSError):  # lost at this very moment: the next connection will do as well
            connection = await self._link.within(EXPIRES, after=connection.number)
            await self._say_over(connection, word)

    async def _say_over(self, connection: Connection, word: bytes) -> None:
        try:
            await connection.client.publish(self._reply, word)
        except (NatsError, OSError) as exc:
            raise BusUnavailable(f"an acknowledgement could not be sent: {exc}") from exc


def incoming(msg: Msg, received: datetime | None = None) -> Incoming:
    """The port's form of a message."""
    return Incoming(msg.subject, msg.data, msg.headers or {}, received)


async def deliveries(link: Link, stream: str, consumer: str) -> AsyncIterator[NatsDelivery]:
    """Every message of a durable consumer, across connections, and from the moment that it exists."""
    batch = streams.stream(stream).fetch
    while True:
        connection = await link.connection()
        try:
            async with contextlib.aclosing(_pull(connection, stream, consumer, batch)) as messages:
                async for msg in messages:
                    yield NatsDelivery(link, msg)
        except (NatsError, OSError) as exc:
            log.debug("pulling is interrupted", stream=stream, consumer=consumer, reason=str(exc))
        await asyncio.sleep(PAUSE)


async def newest(link: Link, stream: str) -> AsyncIterator[Incoming]:
    """The last message of each subject, then each new one; after a new connection the last ones again."""
    while True:
        connection = await link.connection()
        try:
            info = await JetStreamContext(connection.client).add_consumer(stream, streams.latest_config(stream))
            pulling = _pull(connection, stream, info.name, streams.stream(stream).fetch, endless=False)
            async with contextlib.aclosing(pulling) as messages:
                async for msg in messages:
                    yield incoming(msg, msg.metadata.timestamp)
        except (NatsError, OSError) as exc:
            if may_say("listening", stream):
                log.warning("listening is interrupted", stream=stream, reason=str(exc))
        await asyncio.sleep(PAUSE)


async def _pull(
    connection: Connection, stream: str, consumer: str, batch: int, *, endless: bool = True
) -> AsyncGenerator[Msg, None]:
    """Messages over one connection until it is lost or, unless `endless`, the consumer stops to answer."""
    client = connection.client
    inbox = _Inbox(connection)
    sub = await client.subscribe(client.new_inbox(), cb=inbox.put)
    round_ = _Round(client, sub.subject, inbox, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", batch)
    try:
        while not connection.lost.is_set():
            await round_.ask()
            while (msg := await round_.next()) is not None:
                yield msg
            if not endless and not round_.answered:
                return
    finally:
        with contextlib.suppress(NatsError, OSError):
            await sub.unsubscribe()


class _Inbox:
    """What came and waits to be looked at. nats-py's own `next_msg` makes a task for each message; this does not."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()

    async def put(self, msg: Msg) -> None:
        self._queue.put_nowait(msg)

    async def get(self, seconds: float) -> Msg | None:
        """The next message; None after that time, or at once when the connection is lost."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        coming = asyncio.ensure_future(self._queue.get())
        ending = asyncio.ensure_future(self._connection.lost.wait())
        try:
            await asyncio.wait({coming, ending}, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            coming.cancel()
            ending.cancel()


class _Round:
    """One request after another: `answered` says whether the server reacted to the last one at all."""

    def __init__(self, client: Client, reply: str, inbox: _Inbox, subject: str, batch: int) -> None:
        self._client = client
        self._reply = reply
        self._inbox = inbox
        self._subject = subject
        self._batch = batch
        self._left = 0
        self._deadline = 0.0
        self._pause = PAUSE
        self.answered = False

    async def ask(self) -> None:
        expires = EXPIRES if self.answered else EXPIRES_UNANSWERED
        request = msgspec.json.encode({"batch": self._batch, "expires": int(expires * 1e9)})
        self._left = self._batch
        self._deadline = asyncio.get_running_loop().time() + expires + GRACE
        self.answered = False
        await self._client.publish(self._subject, request, reply=self._reply)

    async def next(self) -> Msg | None:
        """The next message of this request; None when it is used up, expired or refused."""
        while self._left > 0:
            msg = await self._inbox.get(self._deadline - asyncio.get_running_loop().time())
            if msg is None:
                return None
            status = (msg.headers or {}).get("Status")
            if status is None:
                self._pause = PAUSE
                self._left -= 1
                self.answered = True
                return msg
            if await self._is_over(status):
                return None
        return None

    async def _is_over(self, status: str) -> bool:
        if status == "100":
            return False
        self.answered = status in _OVER
        if status == "408":
            self._pause = PAUSE
        else:  # refused at once, or nobody there: ask ever less often
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, MAX_PAUSE)
        return True
