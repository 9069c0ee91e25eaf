"""Evidence for one target: gathered, then redacted, before anything else of the agent sees it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec

from kubeagent.diagnosis.gathering import Gathering
from kubeagent.edge.identity import Identity
from kubeagent.kube.gather import gather
from kubeagent.kube.port import Reader
from kubeagent.protocol.evidence import Evidence, PodLog, Refusal
from kubeagent.protocol.messages import EvidenceRequest
from kubeagent.protocol.redaction import redact_evidence
from kubeagent.telemetry.tracing import span


async def collect(
    reader: Reader,
    request: EvidenceRequest,
    *,
    identity: Identity,
    kubernetes_version: str,
    now: datetime,
    timeout: timedelta,
    parent: str,
) -> Evidence:
    """The redacted evidence that a request asks for."""
    namespaces = frozenset(request.namespaces) if request.namespaces is not None else None
    with span("agent.gather", parent=parent) as gathering_span:
        evidence = await gather(
            reader,
            Gathering(request.target, namespaces=namespaces),
            now=now,
            timeout=timeout,
            cluster_id=identity.cluster_id,
            cluster_uid=identity.cluster_uid,
            kubernetes_version=kubernetes_version,
        )
        gathering_span.set(reads=evidence.reads, objects=len(evidence.objects))
    with span("agent.redact", parent=parent):
        return await asyncio.to_thread(redact_evidence, evidence)


def shortened(evidence: Evidence, length: int) -> Evidence:
    """The evidence with only the last `length` characters of each log, and a word about that."""
    said = Refusal(object=evidence.target, reason="LimitReached", message=f"logs were cut to {length} characters each")
    return msgspec.structs.replace(
        evidence,
        logs=tuple(_tail(log, length) for log in evidence.logs),
        unreadable=(*(each for each in evidence.unreadable if each.object != evidence.target), said),
    )


def _tail(log: PodLog, length: int) -> PodLog:
    if len(log.text) <= length:
        return log
    text = log.text[len(log.text) - length :]
    return msgspec.structs.replace(log, text=text.partition("\n")[2] or text, truncated=True)
