"""From an agent's evidence to a verdict: redacted once more, judged in a thread, and never an exception.

The edge redacts before anything travels; the hub does it again because it does not trust the edge to. Rules are pure
and run in a thread, so that a large piece of evidence does not hold up heartbeats. A rule that breaks on some evidence
would break on it for ever, so that is a verdict too: undetermined, because of us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from kubeagent.protocol.evidence import SCHEMA, Evidence
from kubeagent.protocol.messages import EvidenceRequest
from kubeagent.resources.verdict import Outcome, Verdict
from kubeagent.telemetry.tracing import span, task_traceparent

LONGEST: Final = 60.0
MAX_OBJECTS: Final = 20_000
"""Five times what gathering reads at most."""

log = structlog.get_logger()

Judge = Callable[[Evidence], Verdict]
Redact = Callable[[Evidence], Evidence]


class Judging:
    """The engine behind a thread."""

    def __init__(self, judge: Judge, redact: Redact) -> None:
        self._judge = judge
        self._redact = redact

    async def __call__(self, uid: str, evidence: Evidence) -> Verdict:
        """The verdict on the evidence."""
        with span("hub.judge", parent=task_traceparent(uid), objects=len(evidence.objects)) as current:
            try:
                async with asyncio.timeout(LONGEST):
                    verdict = await asyncio.to_thread(self._run, evidence)
            except TimeoutError:
                log.error("the engine took too long", task_uid=uid, seconds=LONGEST)
                verdict = _broken()
            except Exception:
                log.exception("the engine failed", task_uid=uid)
                verdict = _broken()
            current.set(outcome=verdict.outcome.value, reason=verdict.reason)
        return verdict

    def _run(self, evidence: Evidence) -> Verdict:
        return self._judge(self._redact(evidence))


def mismatch(evidence: Evidence, request: EvidenceRequest, cluster_uid: str) -> str:
    """Why the evidence does not answer the request; "" if it does."""
    asked, got = request.target, evidence.target
    if len(evidence.objects) > MAX_OBJECTS:
        return f"it holds {len(evidence.objects)} objects; {MAX_OBJECTS} are the most"
    if evidence.schema > SCHEMA:
        return f"its schema {evidence.schema} is newer than this hub's {SCHEMA}"
    if cluster_uid and evidence.cluster_uid and evidence.cluster_uid != cluster_uid:
        return "it was gathered in another cluster"
    same_namespace = got.namespace in (asked.namespace, "")  # the agent knows better which kinds have one
    if (asked.kind, asked.name) != (got.kind, got.name) or not same_namespace:
        return f"it is about {str(got)[:200]}, and {asked} was asked for"
    return ""


def _broken() -> Verdict:
    return Verdict(
        outcome=Outcome.UNDETERMINED,
        reason="EngineFailed",
        message="the evidence arrived, and the engine failed on it; the hub's log says where",
    )
