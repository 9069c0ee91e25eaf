"""Redacts free text: what looks like a secret becomes `[REDACTED:<kind>]`.

One pass of an RE2 set over the bytes tells which rules can match at all (most text: none), and only those are run.
Passes are repeated until nothing changes any more, so redacting twice is redacting once, whatever the rules are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from kubeagent.protocol.redaction_patterns import MARK, NEAR, REACH, RULES, Plausible, looks_random

MAX_PASSES: Final = 6
SET_MEMORY: Final = 64 * 1024 * 1024
LONGEST_BASE64: Final = 64 * 1024
SHORT: Final = 12
"""Text below this length without any of `=:@` holds none of the patterns."""

Span = tuple[int, int, str]

_COMPILED: Final[list[Any]] = [re2.compile(rule.pattern.encode()) for rule in RULES]
_NEAR: Final[Any] = re2.compile(NEAR.encode())
_CANDIDATE: Final = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,}={0,2}")
"""One character class and no alternatives: linear in the standard library too, and with less overhead per hit."""
_URL_SAFE: Final = re.compile(rb"[-_]")
_INVISIBLE: Final = re.compile("\x1b(?:\\[[0-9;?]*[A-Za-z])?|[\u200b-\u200f\u2060\ufeff]")
"""What a terminal does not show can stand in the middle of a keyword."""
_HEX: Final = re.compile(rb"[0-9a-f-]+|[0-9A-F-]+")


def _prefilter() -> Any:
    options = re2.Options()
    options.max_mem = SET_MEMORY
    rules = re2.Set.SearchSet(options)
    for rule in RULES:
        rules.Add(rule.pattern)
    rules.Add(NEAR)
    rules.Add("(?s).")
    rules.Compile()
    return rules


_SET: Final[Any] = _prefilter()
_ENTROPY: Final = len(RULES)
_ALWAYS: Final = _ENTROPY + 1
_EVERYTHING: Final = tuple(range(_ALWAYS))


def redact_text(text: str) -> str:
    """The text with every secret replaced. What cannot be redacted is dropped: the answer to doubt is no text.

    Text without a secret stays as it is, terminal escapes included, so that a quotation stands where it was read.
    """
    if len(text) < SHORT and not any(sign in text for sign in "=:@"):
        return text
    try:
        visible = _INVISIBLE.sub("", text)
        clean = _redacted(visible)
        if visible == text or clean != visible:
            return clean
        return text if _redacted(text) == text else _redacted(text.replace("\x1b", " "))
    except Exception:
        return f"[REDACTED:error {len(text)} characters]"


def _redacted(text: str) -> str:
    plain = text.encode("utf-8", "replace")
    clean = _until_stable(_without_base64(plain))
    return text if clean is plain else clean.decode("utf-8", "replace")


def _without_base64(text: bytes) -> bytes:
    """Base64 that holds a secret is one."""
    return _replace(text, [(*match.span(), "base64") for match in _CANDIDATE.finditer(text) if _hides(match[0])])


def _hides(token: bytes) -> bool:
    if len(token) > LONGEST_BASE64 or _HEX.fullmatch(token):
        return False
    try:
        inner = base64.b64decode(token + b"=" * (-len(token) % 4), altchars=b"-_" if _URL_SAFE.search(token) else None)
        inner.decode("utf-8")
    except ValueError:
        return False
    return inner.isascii() and _until_stable(inner) != inner


def _until_stable(plain: bytes) -> bytes:
    before = plain
    for _ in range(MAX_PASSES):
        after = _pass(before)
        if after is before or after == before:
            return before
        before = after
    return b"[REDACTED:text]"


def _pass(text: bytes) -> bytes:
    for index in _hits(text):
        spans = _random_spans(text) if index == _ENTROPY else _spans(text, index)
        text = _replace(text, list(spans))
    return text


def _hits(text: bytes) -> Iterable[int]:
    """The rules that may match. One pattern of the set always does; if it did not, RE2 gave up, and all are run."""
    hits = _SET.Match(text)
    if hits is None or _ALWAYS not in hits:
        return _EVERYTHING
    return sorted(index for index in hits if index != _ALWAYS)


def _spans(text: bytes, index: int) -> Iterator[Span]:
    rule = RULES[index]
    for match in _COMPILED[index].finditer(text):
        start, end = _secret_part(match)
        value = text[start:end]
        if MARK not in value and _is_plausible(rule.plausible, value, match.group()):
            yield start, end, rule.kind


def _secret_part(match: Any) -> tuple[int, int]:
    """The span of the first group that took part, else of the whole match."""
    for group in range(1, match.re.groups + 1):
        if match.start(group) >= 0:
            return match.start(group), match.end(group)
    return match.start(), match.end()


def _is_plausible(check: Plausible | None, value: bytes, whole: bytes) -> bool:
    return check is None or check(value, whole)


def _random_spans(text: bytes) -> Iterator[Span]:
    for match in _CANDIDATE.finditer(text):
        start, end = match.span()
        value = text[start:end]
        if _HEX.fullmatch(value) or not looks_random(value):
            continue
        if _NEAR.search(text[max(0, start - REACH) : start]):
            yield start, end, "random"


def _replace(text: bytes, spans: list[Span]) -> bytes:
    if not spans:
        return text
    parts, position = [], 0
    for start, end, kind in spans:
        parts += [text[position:start], MARK, kind.encode(), b"]"]
        position = end
    parts.append(text[position:])
    return b"".join(parts)
