"""The messages on the bus: the seeds' JSON, byte for byte in shape, plus optional fields of our own.

Decoding is strict about types and lenient about unknown fields, so that a newer agent still talks to an older hub.
Identity, sequence and version travel as headers (or, from a plain client, as optional top-level fields), never as a
wrapper around the seeds' JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from kubeagent.errors import BadMessage
from kubeagent.protocol.evidence import Evidence
from kubeagent.resources.refs import ObjectKey

PROTOCOL: Final = 1

HEADER_MSG_ID: Final = "Nats-Msg-Id"
HEADER_TTL: Final = "Nats-TTL"
HEADER_PROTOCOL: Final = "Ka-Proto"
HEADER_CLUSTER_UID: Final = "Ka-Cluster-Uid"
HEADER_ENCODING: Final = "Ka-Enc"
HEADER_TRACE: Final = "traceparent"

CAPABILITY_EVIDENCE: Final = "evidence"
"""An agent that lists this answers the one-round-trip evidence command."""

MAX_MESSAGE_BYTES: Final = 900 * 1024
"""Body and headers together; the server's limit is 1 MiB and counts headers, which nats-py does not check."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message of the seeds: snake_case fields."""


class AgentInfo(Message, frozen=True):
    """agent.register: who the agent is and what it can."""

    cluster_id: str
    version: str = ""
    start_time: datetime | None = None
    capabilities: list[str] = []
    cluster_uid: str = ""
    provider: str = ""
    kubernetes_version: str = ""
    protocol: list[int] = []
    nodes: int | None = None
    pods: int | None = None


class RegisterReply(Message, frozen=True):
    """The hub's answer to a registration by request: `state` is accepted, pending or rejected."""

    state: str
    reason: str = ""
    heartbeat_seconds: int = 30
    server_time: datetime | None = None


class QueueSizes(Message, frozen=True):
    """How much waits at the edge."""

    event_queue_size: int = 0
    metrics_queue_size: int = 0
    command_queue_size: int = 0


class Heartbeat(Message, frozen=True):
    """agent.heartbeat: every 30 s."""

    cluster_id: str
    timestamp: datetime
    status: str = "healthy"
    metrics: QueueSizes = QueueSizes()
    cluster_uid: str = ""
    version: str = ""
    kubernetes_version: str = ""
    nodes: int | None = None
    pods: int | None = None


class Event(Message, frozen=True):
    """agent.event: something happened in the cluster."""

    id: str
    cluster_id: str
    type: str = "k8s_event"
    source: str = "kubernetes"
    namespace: str = ""
    severity: str = "medium"
    message: str = ""
    timestamp: datetime | None = None
    reported_at: datetime | None = None
    labels: dict[str, str] = {}
    raw_data: Any = None


class Metrics(Message, frozen=True):
    """agent.metrics: every 60 s."""

    cluster_id: str
    timestamp: datetime
    data: Any = None


class EvidenceRequest(Message, frozen=True, rename="camel"):
    """What the evidence command asks for: the target, and the namespaces that its author may look into.

    `namespaces` None means all; kinds without a namespace are always readable.
    """

    target: ObjectKey
    namespaces: list[str] | None = None
    timeout_seconds: float = 20.0


class Command(Message, frozen=True):
    """agent.command: one typed operation, in the seeds' syntax or as a request of our own."""

    id: str
    type: str = "diagnostic"
    tool: str = "kubectl"
    action: str = ""
    args: list[str] = []
    timeout: str | int = "30s"
    created_at: datetime | None = None
    cluster_uid: str = ""
    expires_at: datetime | None = None
    evidence: EvidenceRequest | None = None
    namespaces: list[str] | None = None
    """Those that a kubectl line may look into; None means all."""


class CommandResult(Message, frozen=True):
    """agent.result: what came of a command. `status` is success, error, denied or expired."""

    command_id: str
    cluster_id: str
    status: str
    output: str = ""
    error: str = ""
    duration: str | int = "0s"
    timestamp: datetime | None = None
    code: str = ""
    cluster_uid: str = ""
    evidence: Evidence | None = None


M = TypeVar("M", bound=Message)

_FINAL: Final = ":final"


def result_id(command_id: str) -> str:
    """The message id of a command's result: the stream stores only one of them."""
    return f"{command_id}{_FINAL}"


def command_of(message_id: str) -> str:
    """The command that a result's message id names."""
    return message_id.removesuffix(_FINAL)


def encode(message: Message) -> bytes:
    """The JSON of a message."""
    return msgspec.json.encode(message)


def decode(data: bytes, type_: type[M]) -> M:
    """The message in `data`. Raises BadMessage saying what is wrong and where."""
    try:
        try:
            return msgspec.json.decode(data, type=type_)
        except msgspec.ValidationError:
            return _without_nulls(data, type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadMessage(f"not a valid {type_.__name__}: {exc}") from exc


def _without_nulls(data: bytes, type_: type[M]) -> M:
    """Go writes an empty list or map as null: at the top of a message that means "not given"."""
    given = msgspec.json.decode(data)
    if isinstance(given, dict) and None in given.values():
        given = {name: value for name, value in given.items() if value is not None}
        return msgspec.convert(given, type_)
    return msgspec.json.decode(data, type=type_)
