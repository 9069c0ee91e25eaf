"""The hub's part of a task's trace: dispatch, judge and patch below a root that is written once, at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kubeagent.hub import dispatch, judging, store, tasks
from kubeagent.hub.tasks import Answer
from kubeagent.protocol.messages import HEADER_TRACE
from kubeagent.telemetry.tracing import Span
from tests.unit.hub.given import FIRST, UID, World, evidence


async def test_the_spans_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[str, str | None]] = []
    roots: list[str] = []

    @contextmanager
    def span(name: str, *, parent: str | None = None, **_: Any) -> Iterator[Span]:
        spans.append((name, parent))
        yield Span(f"child-of-{parent}")

    for module in (dispatch, judging, store):
        monkeypatch.setattr(module, "span", span)
    for module in (dispatch, judging, tasks):
        monkeypatch.setattr(module, "task_traceparent", lambda uid: f"root-{uid}")
    monkeypatch.setattr(tasks, "record_task", lambda uid, *_, **__: roots.append(uid))

    world = World()
    await world.has_cluster()
    await world.apply()
    assert world.bus.sent[-1].headers[HEADER_TRACE] == f"child-of-root-{UID}"
    assert roots == []

    entry = world.hub.tasks.book.get(UID)
    assert entry is not None
    await world.hub.tasks.answered(entry, Answer(FIRST, "success", evidence=evidence()))
    await world.look()

    of_task = [(name, parent) for name, parent in spans if parent]
    assert of_task == [(name, f"root-{UID}") for name in ("hub.dispatch", "hub.patch", "hub.judge", "hub.patch")]
    assert roots == [UID]
