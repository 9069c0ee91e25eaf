"""When to look at something again: a time per key, and a jittered backoff for what failed.

In memory only: after a restart the initial listing names every object again.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

_FIRST: Final = 0.5
_MOST: Final = 60.0


class DueTimes:
    """Keys with times."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._times: dict[str, datetime] = {}
        self._hastened: dict[str, datetime] = {}
        self._failures: dict[str, int] = {}

    def begin(self, key: str) -> None:
        """A look begins, and sees all that `key` was hastened for until now."""
        self._hastened.pop(key, None)

    def set(self, key: str, when: datetime | None) -> None:
        """Look at `key` at that time, or never: unless something called for it since the look began."""
        self._failures.pop(key, None)
        if hastened := self._hastened.get(key):
            when = min(when or hastened, hastened)
        if when is None:
            self._times.pop(key, None)
        else:
            self._times[key] = when

    def hasten(self, key: str, when: datetime) -> None:
        """Look at `key` at that time, unless it is due earlier; a look under way does not undo that."""
        self._hastened[key] = min(when, self._hastened.get(key, when))
        self._times[key] = min(when, self._times.get(key, when))

    def failed(self, key: str, now: datetime) -> datetime:
        """Look at `key` after a pause that grows with each failure, at a random point of its upper half."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        self._hastened.pop(key, None)
        longest = min(_MOST, _FIRST * 2 ** min(count, 12))
        self._times[key] = now + timedelta(seconds=self._rng.uniform(longest / 2, longest))
        return self._times[key]

    def forget(self, key: str) -> None:
        """Never again."""
        self._hastened.pop(key, None)
        self._times.pop(key, None)
        self._failures.pop(key, None)

    def get(self, key: str) -> datetime | None:
        """When `key` is due."""
        return self._times.get(key)

    def take(self, now: datetime) -> list[str]:
        """The keys that are due, earliest first; each is given once."""
        due = sorted((when, key) for key, when in self._times.items() if when <= now)
        for _, key in due:
            del self._times[key]
        return [key for _, key in due]
