"""The bus over NATS with JetStream: the one adapter of `port.Bus`.

Each operation waits a bounded time for a connection and then says BusUnavailable. A publication that is not confirmed
is sent again with the same message id, because a time-out does not mean that it was not stored. What the server's
size limit counts and nats-py does not (headers) is counted here, for a violation closes the connection for good.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import APIError

from kubeagent.bus import pull, streams
from kubeagent.bus.link import Connection, Link
from kubeagent.bus.port import Delivery, Incoming, Responder
from kubeagent.bus.settings import BusSettings
from kubeagent.errors import BusError, BusUnavailable, MessageTooLarge, QueueFull
from kubeagent.protocol.messages import HEADER_MSG_ID, HEADER_TTL, MAX_MESSAGE_BYTES

log = structlog.get_logger()

ATTEMPT: Final = 2.0
"""Seconds until an unconfirmed publication is sent again."""
AT_ONCE: Final = 32
"""Requests of one subscription that are answered at the same time."""

NOBODY_PAUSE: Final = 0.25

_SERVER_BUSY: Final = 503


class _NobodyThere(BusUnavailable):
    """No subscriber on the subject at this moment."""


class _Answering(NamedTuple):
    subject: str
    queue: str
    responder: Responder


class NatsBus:
    """One process's connection. `hub=True` makes and repairs the streams on every connection."""

    def __init__(self, settings: BusSettings, name: str, *, hub: bool = False, give_up_after: int = 0) -> None:
        self._settings = settings
        self._link = Link(settings, name, prepare=self._prepare if hub else None, give_up_after=give_up_after)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> NatsBus:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._link.start()

    @property
    def connected(self) -> bool:
        """Whether the link is up right now."""
        return self._link.up

    async def connection(self, after: int = 0) -> int:
        """Wait for a connection with a number above `after`, and return its number."""
        return (await self._link.connection(after)).number

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
        sent = dict(headers or {})
        sent[HEADER_MSG_ID] = message_id or secrets.token_hex(16)
        if ttl is not None:
            sent[HEADER_TTL] = str(max(1, math.ceil(ttl.total_seconds())))
        _check_size(subject, data, sent)
        clock = asyncio.get_running_loop().time
        until = clock() + self._settings.publish_timeout_seconds
        first = True
        while True:
            try:
                new = await self._try_publish(subject, data, sent, until - clock())
            except BusUnavailable:
                if clock() + ATTEMPT / 4 >= until:
                    raise
                await asyncio.sleep(ATTEMPT / 4)
            else:
                return new or not first
            first = False

    async def notify(self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Send without storing or waiting."""
        _check_size(subject, data, headers or {})
        connection = await self._link.within(0)
        try:
            await connection.client.publish(subject, data, headers=dict(headers) if headers else None)
        except (NatsError, OSError) as exc:
            raise _translated(exc, subject) from exc

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout: timedelta
    ) -> Incoming:
        """Ask and wait for the one answer; as long as nobody is there to answer, ask again."""
        _check_size(subject, data, headers or {})
        clock = asyncio.get_running_loop().time
        until = clock() + timeout.total_seconds()
        while True:
            try:
                return await self._try_request(subject, data, headers, until - clock())
            except _NobodyThere as exc:
                if clock() + NOBODY_PAUSE >= until:
                    raise BusUnavailable(exc.message) from exc
                await asyncio.sleep(NOBODY_PAUSE)

    async def respond(self, subject: str, queue: str, responder: Responder) -> None:
        """Answer requests on a subject until the bus is closed; returns once the first subscription stands."""
        answering = _Answering(subject, queue, responder)
        connection = await self._link.connection()
        await self._subscribe(connection, answering)
        self._spawn(self._keep_answering(answering, connection.number))

    def consume(self, stream: str, consumer: str) -> AsyncIterator[Delivery]:
        """Deliveries of a durable consumer, for as long as the caller goes on."""
        return pull.deliveries(self._link, stream, consumer)

    def latest(self, stream: str) -> AsyncIterator[Incoming]:
        """The last message of each subject of a stream, then every new one."""
        return pull.newest(self._link, stream)

    async def ensure_command_consumer(self, cluster_id: str) -> None:
        """Make the queue of one cluster (the hub does so when the cluster is accepted)."""
        await self._administer(lambda js: streams.ensure_command_consumer(js, cluster_id))

    async def remove_command_consumer(self, cluster_id: str) -> None:
        """Forget the queue of one cluster."""
        await self._administer(lambda js: streams.remove_command_consumer(js, cluster_id))

    async def close(self) -> None:
        """Finish what is under way and disconnect."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._link.close()

    async def _prepare(self, client: Client) -> None:
        await streams.ensure_streams(JetStreamContext(client), self._settings.replicas)

    async def _administer(self, change: Any) -> None:
        connection = await self._link.within(self._settings.publish_timeout_seconds)
        try:
            await change(JetStreamContext(connection.client))
        except (NatsError, OSError, TimeoutError) as exc:
            raise _translated(exc, "the JetStream API") from exc

    async def _try_publish(self, subject: str, data: bytes, headers: dict[str, str], left: float) -> bool:
        connection = await self._link.within(max(0.0, left))
        js = JetStreamContext(connection.client)
        try:
            ack = await js.publish(subject, data, timeout=ATTEMPT, headers=headers)
        except (NatsError, OSError, TimeoutError, ValueError) as exc:
            raise _translated(exc, subject) from exc
        return not ack.duplicate

    async def _try_request(self, subject: str, data: bytes, headers: Mapping[str, str] | None, left: float) -> Incoming:
        clock = asyncio.get_running_loop().time
        until = clock() + left
        connection = await self._link.within(left)
        try:
            msg = await connection.client.request(
                subject, data, timeout=max(0.01, until - clock()), headers=dict(headers) if headers else None
            )
        except (NatsError, OSError, TimeoutError) as exc:
            raise _translated(exc, subject) from exc
        return pull.incoming(msg)

    async def _keep_answering(self, answering: _Answering, number: int) -> None:
        while True:
            connection = await self._link.connection(number)
            number = connection.number
            try:
                await self._subscribe(connection, answering)
            except (NatsError, OSError) as exc:
                log.debug("subscribing is interrupted", subject=answering.subject, reason=str(exc))

    async def _subscribe(self, connection: Connection, answering: _Answering) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def on_message(msg: Msg) -> None:
            await slots.acquire()
            self._spawn(self._answer(answering, msg, slots))

        await connection.client.subscribe(answering.subject, queue=answering.queue, cb=on_message)
        await connection.client.flush(timeout=5)

    async def _answer(self, answering: _Answering, msg: Msg, slots: asyncio.Semaphore) -> None:
        try:
            answer = await answering.responder(pull.incoming(msg))
            if msg.reply:
                connection = await self._link.within(0)
                await connection.client.publish(msg.reply, answer)
        except Exception:
            log.exception("a request could not be answered", subject=msg.subject)
        finally:
            slots.release()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _check_size(subject: str, data: bytes, headers: Mapping[str, str]) -> None:
    size = len(data) + sum(len(key) + len(value.encode()) + 4 for key, value in headers.items()) + 12
    if size > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(f"{size} bytes for {subject}; a message holds {MAX_MESSAGE_BYTES} with its headers")


def _translated(exc: BaseException, subject: str) -> BusError | MessageTooLarge:
    """The error of our tree for one of the library's."""
    match exc:
        case APIError(err_code=streams.ERR_QUEUE_FULL):
            return QueueFull(f"{subject} had {streams.QUEUE_DEPTH} messages in the last seconds already")
        case APIError(code=code) if code != _SERVER_BUSY:
            return BusError(f"NATS refused {subject}: {exc.description} ({exc.err_code})")
        case MaxPayloadError():
            return MessageTooLarge(f"the server's own limit is below the size of this message for {subject}")
        case NoRespondersError():
            return _NobodyThere(f"nobody answers on {subject}")
        case TimeoutError():
            return BusUnavailable(f"no answer on {subject} in time")
        case _:
            return BusUnavailable(f"{subject}: {exc}")
