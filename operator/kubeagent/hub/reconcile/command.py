"""The evidence command of an attempt: its id, what it asks for, and how far it may look.

The id is derived from the task's uid and the attempt, so that a hub that was killed between sending and recording
sends the same id again and the stream drops it. It is a NATS token, hence its grammar.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from kubeagent.protocol.kinds import by_kind
from kubeagent.protocol.messages import EvidenceRequest
from kubeagent.resources.diagnosistask import LOCAL, DiagnosisTask
from kubeagent.resources.refs import ObjectKey

SWEEPS: Final = ("Namespace", "Cluster")
_ID: Final = re.compile(r"([A-Za-z0-9-]{1,48})-evidence-([1-9][0-9]{0,3})", re.ASCII)
_AGENT_SHARE: Final = 0.8
"""The agent gathers for this part of the command's time; the rest is for the way and the judgement."""


class CommandId(NamedTuple):
    """Whose command, and which attempt."""

    task_uid: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.task_uid}-evidence-{self.attempt}"


def parse_command_id(text: str) -> CommandId | None:
    """The task and attempt that an id names; None for a command that is not of this kind."""
    match = _ID.fullmatch(text)
    return CommandId(match[1], int(match[2])) if match else None


def target_key(task: DiagnosisTask) -> ObjectKey:
    """The target as agents name it; a sweep without a name is of the task's own namespace, or of the cluster."""
    target = task.spec.target
    row = by_kind(target.kind, target.api_version or "")
    api_version = target.api_version or (row.api_version if row else "")
    if target.kind == "Cluster":
        return ObjectKey("", "Cluster", "", target.name or "")
    if is_namespace_sweep(task):
        return ObjectKey("v1", "Namespace", "", target.name or task.target_namespace)
    namespaced = row.namespaced if row else True
    return ObjectKey(api_version, target.kind, task.target_namespace if namespaced else "", target.name or "")


def is_namespace_sweep(task: DiagnosisTask) -> bool:
    """Whether the target is a core Namespace."""
    target = task.spec.target
    return target.kind == "Namespace" and target.api_version in (None, "v1")


def display_target(task: DiagnosisTask) -> str:
    """`Deployment/checkout`, or `Deployment shop/checkout` where the namespace is not the task's own."""
    key = target_key(task)
    if not key.name:
        return key.kind
    if key.namespace and key.namespace != task.metadata.namespace:
        return f"{key.kind} {key.namespace}/{key.name}"
    return f"{key.kind}/{key.name}"


def target_namespace(task: DiagnosisTask) -> str | None:
    """The one namespace that the target is in, or is; None for what has none."""
    key = target_key(task)
    return (key.name if is_namespace_sweep(task) else key.namespace) or None


def allowed_namespaces(task: DiagnosisTask, limit: tuple[str, ...] | None) -> list[str] | None:
    """How far the command may look: None is everywhere.

    A target in the task's own namespace on `local` was admitted without the verb `diagnose`, so its evidence stays
    there; everything else passed that check and is limited by what the cluster allows.
    """
    own = task.metadata.namespace
    if task.spec.cluster == LOCAL and target_namespace(task) == own:
        return [own]
    return None if limit is None else sorted(limit)


def is_allowed(task: DiagnosisTask, limit: tuple[str, ...] | None) -> bool:
    """Whether the cluster's targetNamespaces admit the target; what has no namespace is always admitted."""
    namespace = target_namespace(task)
    return limit is None or namespace is None or namespace in limit


def evidence_request(task: DiagnosisTask, limit: tuple[str, ...] | None, seconds: float) -> EvidenceRequest:
    """What the agent is asked for; `seconds` is how long the command lives."""
    return EvidenceRequest(
        target=target_key(task),
        namespaces=allowed_namespaces(task, limit),
        timeout_seconds=round(max(1.0, seconds * _AGENT_SHARE), 1),
    )
