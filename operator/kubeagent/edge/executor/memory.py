"""Results of the last commands: one that is delivered again is answered again, not run again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

MAX_RESULTS: Final = 64
MAX_BYTES: Final = 16 * 1024 * 1024


class Packed(NamedTuple):
    """A result as it goes out."""

    body: bytes
    encoding: str
    traceparent: str = ""


class Memory:
    """The most recent results, bounded in number and in bytes."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Packed] = OrderedDict()
        self._bytes = 0
        self.running: set[str] = set()

    def get(self, command_id: str) -> Packed | None:
        """The result of a command that was run, if it is still known."""
        return self._results.get(command_id)

    def put(self, command_id: str, result: Packed) -> None:
        """Remember a result."""
        self._drop(command_id)
        self._results[command_id] = result
        self._bytes += len(result.body)
        while len(self._results) > MAX_RESULTS or self._bytes > MAX_BYTES:
            self._drop(next(iter(self._results)))

    def _drop(self, command_id: str) -> None:
        dropped = self._results.pop(command_id, None)
        self._bytes -= len(dropped.body) if dropped else 0
