"""Span ids that are given instead of drawn: only the root span of a task uses them (see tracing.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

_given: ContextVar[tuple[int, int] | None] = ContextVar("given_ids", default=None)


class GivenIds(RandomIdGenerator):
    """Random ids, except inside `given`."""

    @contextmanager
    def given(self, trace_id: int, span_id: int) -> Iterator[None]:
        """Spans started in this block get these ids."""
        token = _given.set((trace_id, span_id))
        try:
            yield
        finally:
            _given.reset(token)

    def generate_trace_id(self) -> int:
        """The given trace id, or a random one."""
        given = _given.get()
        return given[0] if given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """The given span id, or a random one."""
        given = _given.get()
        return given[1] if given else super().generate_span_id()
