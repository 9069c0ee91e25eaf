"""One trace per DiagnosisTask, across processes, restarts included; without the `otel` extra it costs nothing.

A trace has to survive a hub that is killed half-way, so nothing about it is kept in memory: the trace id *is* the
task's uid (128 bits, like a trace id), the root span's id is derived from it, and any process that knows the uid can
add a child. The root span itself is written once, when the task ends, with the task's own start time.

`traceparent` (W3C) travels as a NATS header. Tracing is on when the SDK is installed and an OTLP endpoint is set.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

_VERSION: Final = "00"
_SAMPLED: Final = "01"
Attribute = str | int | float | bool

_tracer: Any = None
_ids: Any = None
_provider: Any = None


@dataclass(frozen=True, slots=True)
class Span:
    """A span under way; `traceparent` names it for children elsewhere, "" when tracing is off."""

    traceparent: str = ""
    _otel: Any = None

    def set(self, **attributes: Attribute) -> None:
        """Add attributes."""
        if self._otel is not None:
            self._otel.set_attributes(attributes)


_OFF: Final = Span()


def configure(service: str, **resource: str) -> bool:
    """Start exporting if OTEL_EXPORTER_OTLP_ENDPOINT is set and the SDK is installed; whether it is on."""
    global _tracer, _ids, _provider
    if not _wanted():
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from kubeagent.telemetry._ids import GivenIds
    except ImportError:
        return False
    _ids = GivenIds()
    _provider = TracerProvider(
        resource=Resource.create({"service.name": service, **resource}),
        id_generator=_ids,
        shutdown_on_exit=True,
    )
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1000))
    _tracer = _provider.get_tracer("kubeagent")
    return True


def shutdown() -> None:
    """Send what waits."""
    if _provider is not None:
        _provider.shutdown()


def _wanted() -> bool:
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(os.environ.get(name) for name in names) and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"


def task_traceparent(uid: str) -> str:
    """The traceparent of a task's root span, from its uid alone; "" when tracing is off."""
    if _tracer is None:
        return ""
    return f"{_VERSION}-{_trace_id(uid):032x}-{_root_span_id(uid):016x}-{_SAMPLED}"


@contextmanager
def span(name: str, *, parent: str | None = None, **attributes: Attribute) -> Iterator[Span]:
    """A child of `parent` (a traceparent) for the length of the block."""
    if _tracer is None or not parent:
        yield _OFF
        return
    with _tracer.start_as_current_span(name, context=_context(parent), attributes=attributes) as otel:
        context = otel.get_span_context()
        yield Span(f"{_VERSION}-{context.trace_id:032x}-{context.span_id:016x}-{_SAMPLED}", otel)


def record_task(uid: str, name: str, start: datetime, end: datetime, **attributes: Attribute) -> None:
    """Write a task's root span, once, when it has ended."""
    if _tracer is None:
        return
    from opentelemetry.context import Context

    with _ids.given(_trace_id(uid), _root_span_id(uid)):
        root = _tracer.start_span(name, context=Context(), start_time=_nanoseconds(start), attributes=attributes)
    root.end(end_time=_nanoseconds(end))


def _context(traceparent: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _trace_id(uid: str) -> int:
    try:
        return UUID(uid).int
    except ValueError:
        return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:16], "big")


def _root_span_id(uid: str) -> int:
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[16:24], "big") or 1


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000_000)
