"""How the hub's background work is run: several looks side by side, a bell that calls the next sweep, loops that last.

A loop that fails is logged and begun again after a pause: no single message or object may end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog

log = structlog.get_logger()

AT_ONCE: Final = 16
TICK: Final = 0.5
_PAUSE: Final = 5.0


class Bell:
    """Rung when something is due at once; otherwise a sweep comes every half second."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Something is due."""
        self._event.set()

    async def wait(self, seconds: float = TICK) -> None:
        """Until the bell rings, or that long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()


async def side_by_side(work: Callable[[str], Awaitable[None]], keys: Iterable[str], at_once: int = AT_ONCE) -> None:
    """Do the work for every key, a bounded number at a time."""
    slots = asyncio.Semaphore(at_once)

    async def one(key: str) -> None:
        async with slots:
            await work(key)

    await asyncio.gather(*(one(key) for key in keys))


async def keep(name: str, loop: Callable[[], Awaitable[None]], rng: random.Random, pause: float = _PAUSE) -> None:
    """Run a loop for ever, beginning again whenever it ends or fails."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("a background loop failed and is begun again", loop=name)
        await asyncio.sleep(rng.uniform(pause / 2, pause))
