"""The streams as data: what the failure matrix relies on."""

from __future__ import annotations

import pytest
from nats.errors import Error, MaxPayloadError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType
from nats.js.errors import APIError

from kubeagent.bus import streams
from kubeagent.bus.nats import _translated
from kubeagent.errors import BusError, BusUnavailable, MessageTooLarge, QueueFull


def test_commands_expire_and_a_full_queue_refuses() -> None:
    config = streams.stream_config(streams.stream(streams.COMMANDS))
    assert config.retention == RetentionPolicy.LIMITS
    assert config.storage == StorageType.FILE
    assert (config.discard, config.discard_new_per_subject) == (DiscardPolicy.NEW, True)
    assert config.max_msgs_per_subject == streams.QUEUE_DEPTH
    assert config.allow_msg_ttl
    assert config.duplicate_window == 3600


def test_heartbeats_keep_the_last_and_mark_its_end() -> None:
    config = streams.stream_config(streams.stream(streams.HEARTBEAT))
    assert (config.storage, config.max_msgs_per_subject, config.max_age) == (StorageType.MEMORY, 1, 90)
    assert config.subject_delete_marker_ttl == 60


def test_a_clusters_queue() -> None:
    config = streams.consumer_config(streams.command_consumer("prod"))
    assert (config.durable_name, config.filter_subject) == ("prod", "agent.command.prod")
    assert (config.ack_wait, config.max_deliver) == (10, 5)


@pytest.mark.parametrize("cluster_id", ["*", "a.b", ">", "", "A"])
def test_no_queue_for_what_is_no_cluster_id(cluster_id: str) -> None:
    with pytest.raises(ValueError, match="cluster id"):
        streams.command_consumer(cluster_id)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (APIError(code=503, err_code=streams.ERR_QUEUE_FULL, description="full"), QueueFull),
        (APIError(code=503, err_code=10008, description="busy"), BusUnavailable),
        (APIError(code=400, err_code=10058, description="bad"), BusError),
        (MaxPayloadError(), MessageTooLarge),
        (NoRespondersError(), BusUnavailable),
        (NatsTimeout(), BusUnavailable),
        (Error("anything"), BusUnavailable),
    ],
)
def test_errors_are_translated(raised: Exception, expected: type[Exception]) -> None:
    assert isinstance(_translated(raised, "agent.command.x"), expected)
