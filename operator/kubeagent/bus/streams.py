"""The streams and durable consumers, as data. The hub makes them on each connection; agents never do.

Commands are a Limits stream and no work queue: only so does the server recognise a command that is published twice
across its own restart. Each command expires by its own TTL, and a cluster's queue that is full refuses the next one
instead of losing the oldest. Heartbeats and metrics live in memory and are therefore gone after a restart of NATS,
the stream itself too: that is why ensuring belongs to every connection and not to the start of the hub.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from kubeagent.errors import BusError
from kubeagent.protocol import subjects

COMMANDS: Final = "KA_COMMANDS"
RESULTS: Final = "KA_RESULTS"
EVENTS: Final = "KA_EVENTS"
METRICS: Final = "KA_METRICS"
HEARTBEAT: Final = "KA_HEARTBEAT"

HUB_RESULTS: Final = "hub-results"
HUB_EVENTS: Final = "hub-events"

OFFLINE_AFTER: Final = timedelta(seconds=90)
QUEUE_DEPTH: Final = 1000
"""Commands that may wait for one cluster; the stream counts those that were answered too, until they expire."""
ACK_WAIT: Final = timedelta(seconds=10)
"""An agent that was killed over a command gets it again after this time, well within the life of the command."""

ERR_QUEUE_FULL: Final = 10077
_ERR_STREAM_EXISTS: Final = 10058
_MIB: Final = 1024 * 1024


class Stream(NamedTuple):
    """One stream. `fetch` is how many messages a consumer asks for at once."""

    name: str
    channel: subjects.Channel
    max_age: timedelta
    in_memory: bool = False
    max_bytes: int = -1
    per_subject: int = -1
    refuse_when_full: bool = False
    duplicate_window: timedelta = timedelta(minutes=2)
    message_ttl: bool = False
    delete_markers: timedelta | None = None
    compressed: bool = False
    fetch: int = 100

    @property
    def subject(self) -> str:
        """`agent.result.*`."""
        return subjects.every(self.channel)


class Consumer(NamedTuple):
    """One durable pull consumer with explicit acknowledgement."""

    stream: str
    name: str
    filter_subject: str = ""
    ack_wait: timedelta = timedelta(seconds=30)
    max_deliver: int = -1
    max_ack_pending: int = 1000


STREAMS: Final[tuple[Stream, ...]] = (
    Stream(
        COMMANDS,
        "command",
        max_age=timedelta(hours=24),
        max_bytes=64 * _MIB,
        per_subject=QUEUE_DEPTH,
        refuse_when_full=True,
        duplicate_window=timedelta(hours=1),
        message_ttl=True,
        fetch=1,
    ),
    Stream(
        RESULTS,
        "result",
        max_age=timedelta(hours=72),
        max_bytes=1024 * _MIB,
        duplicate_window=timedelta(hours=1),
        compressed=True,
        fetch=16,
    ),
    Stream(
        EVENTS,
        "event",
        max_age=timedelta(hours=72),
        max_bytes=512 * _MIB,
        duplicate_window=timedelta(minutes=10),
    ),
    Stream(METRICS, "metrics", max_age=timedelta(minutes=15), in_memory=True, max_bytes=64 * _MIB, per_subject=60),
    Stream(
        HEARTBEAT,
        "heartbeat",
        max_age=OFFLINE_AFTER,
        in_memory=True,
        per_subject=1,
        message_ttl=True,
        delete_markers=timedelta(seconds=60),
    ),
)

_BY_NAME: Final = {each.name: each for each in STREAMS}

HUB_CONSUMERS: Final = (Consumer(RESULTS, HUB_RESULTS), Consumer(EVENTS, HUB_EVENTS))


def stream(name: str) -> Stream:
    """The stream of that name. Raises KeyError."""
    return _BY_NAME[name]


def command_consumer(cluster_id: str) -> Consumer:
    """The queue of one cluster, shared by all pods of its agent. Raises ValueError for an id that is no label."""
    return Consumer(
        COMMANDS,
        cluster_id,
        filter_subject=subjects.subject("command", cluster_id),
        ack_wait=ACK_WAIT,
        max_deliver=5,
        max_ack_pending=16,
    )


async def ensure_streams(js: JetStreamContext, replicas: int = 1) -> None:
    """Make every stream and the hub's consumers what this module says. Safe to repeat, and by several hubs at once."""
    for each in STREAMS:
        await _ensure_stream(js, stream_config(each, replicas))
    for consumer in HUB_CONSUMERS:
        await ensure_consumer(js, consumer)


async def ensure_command_consumer(js: JetStreamContext, cluster_id: str) -> None:
    """Make the queue of one cluster. Safe to repeat."""
    await ensure_consumer(js, command_consumer(cluster_id))


async def remove_command_consumer(js: JetStreamContext, cluster_id: str) -> None:
    """Forget the queue of a cluster that is gone or no longer accepted. Safe to repeat."""
    try:
        await js.delete_consumer(COMMANDS, command_consumer(cluster_id).name)
    except NotFoundError:
        return


async def ensure_consumer(js: JetStreamContext, consumer: Consumer) -> None:
    """Make one durable consumer; the server updates it where it differs."""
    await js.add_consumer(consumer.stream, consumer_config(consumer))


def stream_config(each: Stream, replicas: int = 1) -> StreamConfig:
    """The client library's form of a stream."""
    return StreamConfig(
        name=each.name,
        subjects=[each.subject],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.MEMORY if each.in_memory else StorageType.FILE,
        max_age=each.max_age.total_seconds(),
        max_bytes=each.max_bytes,
        max_msgs_per_subject=each.per_subject,
        discard=DiscardPolicy.NEW if each.refuse_when_full else DiscardPolicy.OLD,
        discard_new_per_subject=each.refuse_when_full,
        duplicate_window=min(each.duplicate_window, each.max_age).total_seconds(),
        num_replicas=replicas,
        allow_direct=True,
        compression=StoreCompression.S2 if each.compressed else StoreCompression.NONE,
        allow_msg_ttl=each.message_ttl or None,
        allow_rollup_hdrs=each.delete_markers is not None,
        subject_delete_marker_ttl=each.delete_markers.total_seconds() if each.delete_markers else None,
    )


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """The client library's form of a durable consumer."""
    return ConsumerConfig(
        durable_name=consumer.name,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait.total_seconds(),
        max_deliver=consumer.max_deliver,
        max_ack_pending=consumer.max_ack_pending,
        filter_subject=consumer.filter_subject or None,
    )


def latest_config(name: str) -> ConsumerConfig:
    """A throw-away consumer of a stream that begins with the last message of each subject."""
    return ConsumerConfig(
        filter_subject=stream(name).subject,
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        inactive_threshold=60.0,
    )


async def _ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.add_stream(config)
    except APIError as exc:
        if exc.err_code != _ERR_STREAM_EXISTS:
            raise BusError(f"NATS refuses stream {config.name}: {exc.description}") from exc
        await _update_stream(js, config)


async def _update_stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.update_stream(config)
    except APIError as exc:
        raise BusError(f"NATS has another stream {config.name} that cannot be changed: {exc.description}") from exc
