"""JSON lines on stderr: {timestamp, level, component, message, ...}, ours and every library's in one form.

One formatter renders records of the standard library too, so kopf's, aiohttp's and nats-py's lines read like ours.
On a terminal the same events are printed for people. Nothing here redacts: a secret must not reach a logger at all.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from typing import Any, Final, Literal

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]

QUIET_SECONDS: Final = 30.0
_MAX_TOPICS: Final = 1000
_said: OrderedDict[tuple[str, ...], float] = OrderedDict()


def may_say(*topic: str) -> bool:
    """Whether a line about this may be written now: once in QUIET_SECONDS, for what others can make us say."""
    now = time.monotonic()
    if now - _said.get(topic, float("-inf")) < QUIET_SECONDS:
        return False
    _said[topic] = now
    _said.move_to_end(topic)
    if len(_said) > _MAX_TOPICS:
        _said.popitem(last=False)
    return True


_QUIET = {
    "kopf": logging.INFO,
    "nats": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure(component: str, level: Level = "info", *, pretty: bool = False, **fields: str) -> None:
    """Set up logging of this process; `fields` (cluster_id...) are on every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        _constant({"component": component, **fields}),
    ]
    last: Processor = structlog.dev.ConsoleRenderer() if pretty else _render
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(max(floor, root.level))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=True,
    )


def _constant(fields: dict[str, str]) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**fields, **event}

    return add


def _render(_: WrappedLogger, __: str, event: EventDict) -> str:
    """One JSON line; `event` is called `message`, as the seeds' log format wants."""
    first: dict[str, Any] = {key: event.pop(key, "") for key in ("timestamp", "level", "component")}
    first["message"] = event.pop("event", "")
    return msgspec.json.encode({**first, **event}, enc_hook=str).decode()
