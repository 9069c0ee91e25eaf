"""A line that others can provoke is written once in a while, and remembering that takes bounded memory."""

from __future__ import annotations

import pytest

from kubeagent.telemetry import logs


def test_a_flood_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("kubeagent.telemetry.logs.time.monotonic", lambda: now[0])
    logs._said.clear()
    assert [logs.may_say("bad-heartbeat") for _ in range(100)].count(True) == 1
    assert logs.may_say("another")
    now[0] += logs.QUIET_SECONDS
    assert logs.may_say("bad-heartbeat")


def test_what_was_said_is_remembered_within_bounds() -> None:
    for number in range(5000):
        logs.may_say("registration", str(number))
    assert len(logs._said) <= 1000
    logs._said.clear()
