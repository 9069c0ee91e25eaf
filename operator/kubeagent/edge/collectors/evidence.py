"""Evidence for one target: gathered, then redacted, before anything else of the agent sees it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from kubeagent.diagnosis.gathering import Gathering
from kubeagent.edge.identity import Identity
from kubeagent.kube.gather import gather
from kubeagent.kube.port import Reader
from kubeagent.protocol.evidence import Evidence
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
