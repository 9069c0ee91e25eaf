"""Go's duration strings, because the seeds' agents and hubs are written in Go: `30s`, `1.5s`, `1m30s`.

A bare integer is nanoseconds, which is how Go encodes a time.Duration in JSON.
"""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_MAX_LENGTH = 64


def parse_duration(text: str | int) -> timedelta:
    """The duration that Go would parse from `text`. Raises ValueError with a message for people."""
    if isinstance(text, int):
        return timedelta(microseconds=text / 1000)
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return timedelta(0)
    if not body or len(text) > _MAX_LENGTH or not re.fullmatch(f"(?:{_PART.pattern})+", body, re.ASCII):
        raise ValueError(f"{text[:_MAX_LENGTH]!r} is not a duration such as 30s, 1.5s or 1m30s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(body))
    try:
        return timedelta(seconds=-seconds if text.startswith("-") else seconds)
    except OverflowError:
        raise ValueError(f"{text!r} is longer than a duration can be") from None


def format_duration(duration: timedelta) -> str:
    """`1.5s`, `30s`: seconds only, which every reader of Go durations takes."""
    return f"{duration.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
