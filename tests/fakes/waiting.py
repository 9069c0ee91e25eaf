"""Waiting in tests for something that has no event of its own: by looking, with an end, never asserting a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 30.0


async def until(true: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Return once `true()` is; TimeoutError after `patience` seconds."""
    async with asyncio.timeout(patience):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
