"""What a diagnosis says: the shapes of status.rootCause and its neighbours, of the CLI's JSON, and of scenarios.

The engine returns these very models, so that there is one shape from the rule to `kubectl get -o json`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from kubeagent.resources.base import Model, ObjectReference, Percent, Sentence, Text, Timestamp, Word

MAX_EVIDENCE = 20
MAX_CHAIN = 12
MAX_OTHER_ROOT_CAUSES = 20
MAX_ALTERNATIVES = 2
MAX_UNREADABLE = 50
MAX_EVIDENCE_BYTES = 2048


class Category(StrEnum):
    """The closed list of what a root cause can be about."""

    APPLICATION = "Application"
    ADMISSION = "Admission"
    AUTOSCALING = "Autoscaling"
    CERTIFICATE = "Certificate"
    CONFIGURATION = "Configuration"
    CONTROL_PLANE = "ControlPlane"
    DEPENDENCY = "Dependency"
    DNS = "DNS"
    IMAGE = "Image"
    INGRESS = "Ingress"
    NETWORK = "Network"
    NODE = "Node"
    PERMISSIONS = "Permissions"
    PROBE = "Probe"
    QUOTA = "Quota"
    RESOURCES = "Resources"
    ROLLOUT = "Rollout"
    SCHEDULING = "Scheduling"
    SECURITY = "Security"
    SERVICE = "Service"
    STORAGE = "Storage"
    WORKLOAD = "Workload"


class Outcome(StrEnum):
    """How a diagnosis ended."""

    ROOT_CAUSE_FOUND = "RootCauseFound"
    NO_FAULT_FOUND = "NoFaultFound"
    UNDETERMINED = "Undetermined"


class EvidenceLine(Model):
    """One quotation: where it stands (`source`), in which object, word for word, and when it was said."""

    id: Word
    source: Annotated[str, Field(max_length=256)]
    object: ObjectReference
    text: Text
    time: Timestamp | None = None


class ChainLink(Model):
    """One step from the symptom to the root."""

    object: ObjectReference
    reason: Word
    message: Sentence


class RootCause(Model):
    """A fault that nothing else in the evidence explains, and the object to change."""

    reason: Annotated[str, Field(max_length=128, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    category: Category
    object: ObjectReference
    summary: Sentence
    confidence: Percent
    source: Literal["engine", "runbook", "llm"] = "engine"
    chain: Annotated[tuple[ChainLink, ...], Field(max_length=MAX_CHAIN)] = ()
    evidence: Annotated[tuple[EvidenceLine, ...], Field(max_length=MAX_EVIDENCE)] = ()


class Unreadable(Model):
    """Something that mattered and could not be read: it lowers confidence."""

    object: ObjectReference
    reason: Word
    message: Sentence = ""


class Verdict(Model):
    """All that a diagnosis says. `reason` refines Undetermined (TargetNotFound); `message` is the sentence for it."""

    outcome: Outcome
    reason: Word
    message: Sentence
    root_causes: tuple[RootCause, ...] = ()
    alternatives: Annotated[tuple[RootCause, ...], Field(max_length=MAX_ALTERNATIVES)] = ()
    unreadable: Annotated[tuple[Unreadable, ...], Field(max_length=MAX_UNREADABLE)] = ()
