"""One trace per DiagnosisTask, across hub and agent, collected by a real OTLP receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack
from tests.e2e.tasks import Tasks, tasks_in
from tests.fakes.otlp import OtlpReceiver, ReceivedSpan

SPACE = "traces"
EXPECTED = {"DiagnosisTask", "hub.dispatch", "agent.command", "agent.gather", "hub.judge", "hub.patch"}


@pytest.fixture
def tasks(stack: Stack, kubectl: Kubectl) -> Iterator[Tasks]:
    with tasks_in(SPACE, stack, kubectl) as tasks:
        yield tasks


def test_a_task_is_one_trace_across_hub_and_agent(
    stack: Stack, kubectl: Kubectl, tasks: Tasks, traces: OtlpReceiver
) -> None:
    tasks.create("traced")
    tasks.ended("traced")
    uid: str = kubectl.json("get", "dt", "traced", "-n", SPACE)["metadata"]["uid"]

    def spans() -> list[ReceivedSpan]:
        return traces.trace(uid.replace("-", ""))

    stack.wait(lambda: {span.name for span in spans()} >= EXPECTED, "the spans to arrive", 30)
    by_id = {span.span_id: span for span in spans()}
    roots = [span for span in by_id.values() if not span.parent_id]
    assert [root.name for root in roots] == ["DiagnosisTask"]
    assert all(span.parent_id in by_id for span in by_id.values() if span.parent_id), "no span hangs in the air"
    assert {span.service for span in by_id.values()} == {"kubeagent-hub", "kubeagent-agent"}
    assert all(span.start <= span.end for span in by_id.values())
