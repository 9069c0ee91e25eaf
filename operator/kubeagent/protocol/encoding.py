"""Compression of large payloads: zlib level 1, marked by a header, with a bound on what it may unfold to.

Level 1 turns two megabytes of JSON into a tenth at hundreds of megabytes a second, and zlib is in every language's
standard library; the seeds' small messages stay plain JSON.
"""

from __future__ import annotations

import zlib
from typing import Final

from kubeagent.errors import BadMessage, MessageTooLarge
from kubeagent.protocol.messages import MAX_MESSAGE_BYTES

ZLIB: Final = "zlib"
COMPRESS_FROM: Final = 8 * 1024
MAX_UNFOLDED: Final = 32 * 1024 * 1024
_HEADROOM: Final = 4 * 1024


def pack(data: bytes) -> tuple[bytes, str]:
    """The payload and its encoding ("" for plain). Raises MessageTooLarge."""
    packed, encoding = (zlib.compress(data, 1), ZLIB) if len(data) > COMPRESS_FROM else (data, "")
    if len(packed) > MAX_MESSAGE_BYTES - _HEADROOM:
        raise MessageTooLarge(f"{len(packed)} bytes after compression; a message holds {MAX_MESSAGE_BYTES}")
    return packed, encoding


def unpack(data: bytes, encoding: str) -> bytes:
    """The plain payload. Raises BadMessage for an unknown encoding, damage, or a bomb."""
    if not encoding:
        return data
    if encoding != ZLIB:
        raise BadMessage(f"unknown encoding {encoding[:40]!r}")
    unfolding = zlib.decompressobj()
    try:
        plain = unfolding.decompress(data, MAX_UNFOLDED)
    except zlib.error as exc:
        raise BadMessage(f"damaged zlib payload: {exc}") from exc
    if unfolding.unconsumed_tail or not unfolding.eof:
        raise BadMessage("truncated zlib payload, or one that unfolds to more than 32 MiB")
    return plain
