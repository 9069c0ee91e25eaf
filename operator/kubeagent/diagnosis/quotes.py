"""Quotations: evidence is repeated word for word, so that anybody can look it up again in the API server.

`source` says where: `event`, `log`, `status` (a message or reason of status), `field` (text is `<path>:
<value>`), `managedFields`, `last-applied`, `absent` (asked for, and not there) and `list` (a complete list
without the thing). What a container wrote is not trusted: terminal escapes and control characters never get
out. Cutting them out of the middle would make a text that stands nowhere, so the longest clean piece is
quoted instead.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final, NamedTuple

from kubeagent.diagnosis.objects import Object, key_of, lookup
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import MAX_EVIDENCE_BYTES

_DIRT: Final = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b.?"
    "|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]"
)


class Quote(NamedTuple):
    """One quotation before it gets its number in a verdict."""

    source: str
    object: ObjectKey
    text: str
    time: datetime | None = None
    field_path: str = ""


def clean(raw: str) -> str:
    """The longest piece without control characters and escapes, in at most 2048 bytes."""
    pieces = _DIRT.split(raw)
    best = max(pieces, key=len)
    return cut(best, MAX_EVIDENCE_BYTES) if best.strip() else ""


def sentence(raw: str, limit: int) -> str:
    """One line for people, without control characters, in at most `limit` characters."""
    line = " ".join(_DIRT.sub(" ", raw).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def cut(text: str, limit: int) -> str:
    """The text in at most `limit` bytes of UTF-8, cut between characters."""
    data = text.encode("utf-8", "ignore")
    return text if len(data) <= limit else data[:limit].decode("utf-8", "ignore")


def field(obj: Object, path: str, time: datetime | None = None) -> Quote:
    """`<path>: <value>` of an object."""
    return Quote("field", key_of(obj), f"{path}: {shown(lookup(obj, path))}", time, path)


def shown(value: Any) -> str:
    """A value as it stands in JSON; a string without its quotes."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
