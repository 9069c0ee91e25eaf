"""Keeps exactly one working connection to NATS, for as long as the process lives.

nats-py reconnects by itself, but not always: credentials that expire close its client for good, a peer that hangs with
unsent data blocks it for ever, a read loop that died still says it is connected, and what is published while it is
away is sent later behind the caller's back. So its reconnecting is off and there is one way instead of two: a client
that is closed, or does not answer a ping, is thrown away, and a new one is dialled after a full-jitter pause. Whoever
has subscriptions makes them anew on each connection; each has a number for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from kubeagent.bus.settings import BusSettings, shown
from kubeagent.errors import BusUnavailable

log = structlog.get_logger()

PING_TIMEOUT: Final = 5
CLOSE_TIMEOUT: Final = 2.0
STEADY: Final = 5.0
"""A connection that lasted this long starts the backoff from the beginning."""
QUIET: Final = 15.0
"""After the first attempts, at most one line in this many seconds says that NATS is still away."""
LOUD_ATTEMPTS: Final = 10

Prepare = Callable[[Client], Awaitable[None]]


class Connection:
    """One connected client, its number, and an event for its end."""

    def __init__(self, client: Client, number: int, lost: asyncio.Event) -> None:
        self.client = client
        self.number = number
        self.lost = lost


class Link:
    """The supervisor. `prepare` runs on each new client before anybody else may use it: the hub ensures its streams.

    `give_up_after` that many failed attempts in a row everybody who waits gets BusUnavailable; 0 means never.
    """

    def __init__(
        self,
        settings: BusSettings,
        name: str,
        *,
        prepare: Prepare | None = None,
        give_up_after: int = 0,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._prepare = prepare
        self._give_up_after = give_up_after
        self._rng = rng or random.Random()
        self._where = ", ".join(shown(url) for url in settings.servers)
        self._connection: Connection | None = None
        self._number = 0
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._attempts = 0
        self._logged_at = float("-inf")
        self._error: Exception | None = None

    @property
    def up(self) -> bool:
        """Whether a connection is there right now."""
        connection = self._connection
        return connection is not None and not connection.lost.is_set()

    def current(self) -> Connection | None:
        """The connection of this moment, if there is one."""
        return self._usable(0)

    def start(self) -> None:
        """Begin to dial, in the background and for ever."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._supervise(), name="nats-link")

    async def connection(self, after: int = 0) -> Connection:
        """The connection, waiting for one with a number above `after`."""
        self.start()
        async with self._changed:
            while (found := self._usable(after)) is None:
                if self._closed:
                    raise BusUnavailable(f"the connection to NATS at {self._where} was given up")
                await self._changed.wait()
            return found

    async def within(self, seconds: float, after: int = 0) -> Connection:
        """The connection, waiting at most that long. Raises BusUnavailable."""
        if (found := self._usable(after)) is not None:
            return found
        try:
            async with asyncio.timeout(seconds):
                return await self.connection(after)
        except TimeoutError as exc:
            raise BusUnavailable(f"no connection to NATS at {self._where}") from exc

    async def close(self) -> None:
        """Flush, disconnect, and wake everybody who waits."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.client.flush(timeout=PING_TIMEOUT)
        while self._task is not None and not self._task.done():
            self._task.cancel()  # again, if a library swallowed it
            await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT)
        await self._wake()

    def _usable(self, after: int) -> Connection | None:
        connection = self._connection
        if connection is None or connection.lost.is_set() or connection.number <= after:
            return None
        return connection

    async def _supervise(self) -> None:
        pause = _Backoff(self._settings, self._rng)
        clock = asyncio.get_running_loop().time
        while not self._closed:
            try:
                connection = await self._dial()
            except Exception as exc:  # a bad file, a bad seed, a bad answer: all of them may be mended meanwhile
                self._say_away(exc)
                if self._attempts == self._give_up_after:
                    await self._give_up()
                    return
                await asyncio.sleep(pause.next())
                continue
            since = clock()
            try:
                await self._serve(connection)
            except Exception:
                log.exception("the connection to NATS is given up after an unexpected error")
            if clock() - since > STEADY:
                pause.reset()
            await asyncio.sleep(pause.next())

    async def _give_up(self) -> None:
        log.error("gave up on NATS", servers=self._where, attempts=self._attempts)
        self._closed = True
        await self._wake()

    async def _dial(self) -> Connection:
        lost = asyncio.Event()
        client = Client()
        try:
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
                await client.connect(**self._options(lost))
                if not client.is_connected:
                    raise BusUnavailable("the server answered, but did not let us in in time")
                self._check_tls(client)
                if self._prepare is not None:
                    await self._prepare(client)
        except BaseException:
            await _discard(client)
            raise
        self._number += 1
        return Connection(client, self._number, lost)

    def _check_tls(self, client: Client) -> None:
        """nats-py takes a server without TLS for a `tls://` URL, and says nothing."""
        url = client.connected_url
        wanted = self._settings.uses_tls or (url is not None and url.scheme in ("tls", "wss"))
        if wanted and url is not None and url.scheme != "wss" and not client._server_info.get("tls_required"):
            raise BusUnavailable("TLS is asked for, and the server does not offer it")

    async def _serve(self, connection: Connection) -> None:
        self._attempts = 0
        self._connection = connection
        log.info("connected to NATS", servers=self._where, connection=connection.number)
        await self._wake()
        try:
            reason = await self._watch(connection)
            log.warning("lost the connection to NATS", servers=self._where, reason=reason)
        finally:
            connection.lost.set()
            self._connection = None
            await _discard(connection.client)

    async def _watch(self, connection: Connection) -> str:
        """Wait for the end of a connection and return what it was."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.probe_seconds):  # wait_for can lose a cancellation
                    await connection.lost.wait()
            if connection.lost.is_set() or connection.client.is_closed:
                return str(connection.client.last_error or "closed by the server")
            try:  # rtt and not flush: with a dead read loop flush returns as if all were well
                await connection.client.rtt(timeout=PING_TIMEOUT)
            except (NatsError, OSError, TimeoutError) as exc:
                return f"no answer to a ping ({type(exc).__name__})"

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _options(self, lost: asyncio.Event) -> dict[str, Any]:
        async def on_closed() -> None:
            lost.set()

        async def on_error(exc: Exception) -> None:
            self._error = exc
            if self.up:  # while dialling, the attempt as a whole is reported once
                log.warning("NATS reports an error", error=str(exc) or type(exc).__name__)

        return {
            "servers": list(self._settings.servers),
            "name": self._name,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "ping_interval": 15,
            "max_outstanding_pings": 2,
            "inbox_prefix": self._settings.inbox_prefix,
            "closed_cb": on_closed,
            "error_cb": on_error,
            **_credentials(self._settings),
        }

    def _say_away(self, exc: BaseException) -> None:
        self._attempts += 1
        now = asyncio.get_running_loop().time()
        if self._attempts > LOUD_ATTEMPTS and now - self._logged_at < QUIET:
            return
        self._logged_at = now
        cause = self._error if isinstance(exc, NoServersError) and self._error else exc
        reason = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
        log.warning("waiting for NATS", servers=self._where, attempt=self._attempts, reason=reason)


class _Backoff:
    """Full jitter: a random pause below a bound that doubles, so that a thousand agents do not come back at once."""

    def __init__(self, settings: BusSettings, rng: random.Random) -> None:
        self._first = settings.backoff_seconds
        self._most = settings.max_backoff_seconds
        self._bound = self._first
        self._rng = rng

    def next(self) -> float:
        pause = self._rng.uniform(0.0, self._bound) + 0.05
        self._bound = min(self._bound * 2, self._most)
        return pause

    def reset(self) -> None:
        self._bound = self._first


async def _discard(client: Client) -> None:
    """Close a client without trusting it to come back from its own close."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()


def _credentials(settings: BusSettings) -> dict[str, Any]:
    given: dict[str, Any] = {
        "user": settings.user,
        "password": settings.password.get_secret_value(),
        "token": settings.token.get_secret_value(),
        "user_credentials": str(settings.creds_file) if settings.creds_file else None,
        "nkeys_seed": str(settings.nkey_file) if settings.nkey_file else None,
        "tls": settings.tls(),
    }
    return {key: value for key, value in given.items() if value}
