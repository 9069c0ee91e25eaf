"""The one place where the hub reads the clock; everything else is given the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

_AHEAD = timedelta(seconds=1)


def utc_now() -> datetime:
    """Now."""
    return datetime.now(UTC)


class SteadyClock:
    """The time of day, that never goes back: a clock that is set back would make every due time wait for it.

    It goes on by the monotonic clock from there, and follows the time of day where that is ahead.
    """

    def __init__(self, wall: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._base, self._since = wall(), monotonic()

    def __call__(self) -> datetime:
        """Now."""
        wall, monotonic = self._wall(), self._monotonic()
        steady = self._base + timedelta(seconds=monotonic - self._since)
        if wall - steady > _AHEAD:  # set forward, or the machine slept
            self._base, self._since = wall, monotonic
            return wall
        return steady
