"""One trace per task: derived from its uid, so that any process can add to it; nothing when it is off."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from kubeagent.telemetry import tracing
from tests.fakes.otlp import OtlpReceiver

UID = "9f892abf-70f0-4638-8f96-8a67b6ba3445"


def test_off_there_is_no_traceparent_and_no_span() -> None:
    assert tracing.task_traceparent(UID) == ""
    with tracing.span("hub.judge", parent="00-1-2-01", outcome="x") as span:
        assert span.traceparent == ""
        span.set(more=1)
    assert "opentelemetry.sdk" not in sys.modules or tracing._tracer is None


PROCESS = """
    from datetime import UTC, datetime, timedelta
    from kubeagent.telemetry import tracing
    assert tracing.configure({service!r})
    uid = {uid!r}
    with tracing.span({name!r}, parent=tracing.task_traceparent(uid)) as span:
        with tracing.span({name!r} + ".inner", parent=span.traceparent):
            span.set(objects=3)
    if {root}:
        now = datetime.now(UTC)
        tracing.record_task(uid, "DiagnosisTask", now - timedelta(seconds=1), now, outcome="RootCauseFound")
    tracing.shutdown()
"""


def run(receiver: OtlpReceiver, service: str, name: str, root: bool) -> None:
    code = textwrap.dedent(PROCESS).format(service=service, uid=UID, name=name, root=root)
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}, timeout=60
    )


def test_two_processes_that_share_nothing_but_the_uid_write_one_trace() -> None:
    with OtlpReceiver() as receiver:
        run(receiver, "kubeagent-agent", "agent.command", root=False)
        run(receiver, "kubeagent-hub", "hub.judge", root=True)
        spans = {span.name: span for span in receiver.trace(UID.replace("-", ""))}
    root = spans["DiagnosisTask"]
    assert root.parent_id == ""
    assert {spans["agent.command"].parent_id, spans["hub.judge"].parent_id} == {root.span_id}
    assert spans["agent.command.inner"].parent_id == spans["agent.command"].span_id
    assert {span.service for span in spans.values()} == {"kubeagent-agent", "kubeagent-hub"}
