"""Subjects, durations, compression and the goldens of the founding documents' messages."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeagent.errors import BadMessage, MessageTooLarge
from kubeagent.protocol import encoding, kinds, messages, subjects
from kubeagent.protocol.durations import format_duration, parse_duration
from kubeagent.protocol.rbac import AGENT, HUB

GOLDENS: list[tuple[type[messages.Message], dict[str, Any]]] = [
    (
        messages.AgentInfo,
        {
            "cluster_id": "prod-us-west-2",
            "version": "v1.0.0",
            "start_time": "2025-09-28T10:00:00Z",
            "capabilities": ["event_watch", "metrics_collect", "command_execute"],
        },
    ),
    (
        messages.Heartbeat,
        {
            "cluster_id": "prod-us-west-2",
            "timestamp": "2025-09-28T10:00:00Z",
            "status": "healthy",
            "metrics": {"event_queue_size": 0, "metrics_queue_size": 0, "command_queue_size": 0},
        },
    ),
    (
        messages.Event,
        {
            "id": "evt-12345",
            "cluster_id": "prod-us-west-2",
            "type": "k8s_event",
            "source": "kubernetes",
            "namespace": "default",
            "severity": "high",
            "message": "Pod CrashLoopBackOff",
            "timestamp": "2025-09-28T10:00:00Z",
            "reported_at": "2025-09-28T10:00:01Z",
            "labels": {"reason": "CrashLoopBackOff", "pod": "app-1234"},
            "raw_data": {},
        },
    ),
    (
        messages.Metrics,
        {"cluster_id": "prod-us-west-2", "timestamp": "2025-09-28T10:00:00Z", "data": {"cluster": {}, "nodes": []}},
    ),
    (
        messages.Command,
        {
            "id": "cmd-67890",
            "type": "diagnostic",
            "tool": "kubectl",
            "action": "logs",
            "args": ["pod", "app-1234", "-n", "default"],
            "timeout": "30s",
            "created_at": "2025-09-28T10:00:00Z",
        },
    ),
    (
        messages.CommandResult,
        {
            "command_id": "cmd-67890",
            "cluster_id": "prod-us-west-2",
            "status": "success",
            "output": "...",
            "error": "...",
            "duration": "1.5s",
            "timestamp": "2025-09-28T10:00:02Z",
        },
    ),
]


@pytest.mark.parametrize(("type_", "seed"), GOLDENS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_seeds_message_is_read_and_written_without_loss(
    type_: type[messages.Message], seed: dict[str, Any]
) -> None:
    message = messages.decode(json.dumps({**seed, "a_field_of_tomorrow": [1]}).encode(), type_)
    again = messages.decode(messages.encode(message), type_)
    assert again == message
    for field, value in seed.items():
        assert getattr(message, field) is not None or value is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"cluster_id": 1}', b"[" * 100_000])
def test_garbage_is_a_bad_message_and_nothing_else(data: bytes) -> None:
    with pytest.raises(BadMessage, match="not a valid AgentInfo"):
        messages.decode(data, messages.AgentInfo)


@given(st.binary(max_size=400))
def test_no_bytes_make_the_decoder_raise_anything_else(data: bytes) -> None:
    for type_, _ in GOLDENS:
        try:
            messages.decode(data, type_)
        except BadMessage:
            continue


@pytest.mark.parametrize("cluster_id", ["a", "prod-eu", "0", "a" * 63])
def test_a_subject_and_its_cluster_are_inverse(cluster_id: str) -> None:
    for channel in subjects.CHANNELS:
        assert subjects.cluster_of(subjects.subject(channel, cluster_id), channel) == cluster_id


@pytest.mark.parametrize("cluster_id", ["", "*", ">", "a.b", "A", "a_b", "-a", "a-", "a" * 64, "a\n", "é", "a b"])
def test_an_id_that_would_widen_a_subject_is_refused_both_ways(cluster_id: str) -> None:
    with pytest.raises(ValueError, match="is not a cluster id"):
        subjects.subject("result", cluster_id)
    with pytest.raises(BadMessage):
        subjects.cluster_of(f"agent.result.{cluster_id}", "result")


def test_a_subject_of_another_channel_is_refused() -> None:
    with pytest.raises(BadMessage):
        subjects.cluster_of("agent.event.local", "result")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1.5s", 1.5),
        ("1m30s", 90),
        ("2h", 7200),
        ("0", 0),
        ("250ms", 0.25),
        (1_500_000_000, 1.5),
        ("-1s", -1),
    ],
)
def test_durations_are_those_of_go(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "1.5.5s", "30 s", "1d", "+", "٣s", "1s" * 100, "9" * 40 + "h", "1s\n"])
def test_what_go_would_not_parse_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_a_duration_survives_the_wire(microseconds: int) -> None:
    duration = timedelta(microseconds=microseconds)
    assert abs(parse_duration(format_duration(duration)) - duration) <= timedelta(microseconds=1)


@given(st.binary(max_size=60_000))
def test_packing_is_undone_by_unpacking(data: bytes) -> None:
    packed, marked = encoding.pack(data)
    assert encoding.unpack(packed, marked) == data
    assert bool(marked) == (len(data) > encoding.COMPRESS_FROM)


def test_what_is_too_large_even_compressed_is_refused() -> None:
    noise = b"".join(hash((index, "noise")).to_bytes(8, "big", signed=True) for index in range(150_000))
    with pytest.raises(MessageTooLarge):
        encoding.pack(noise)


def test_a_bomb_a_stump_and_an_unknown_encoding_are_bad_messages() -> None:
    import zlib

    bomb = zlib.compress(b"\0" * (encoding.MAX_UNFOLDED + 1), 9)
    stump = zlib.compress(b"x" * 10_000)[:-6]
    for data, marked in ((bomb, "zlib"), (stump, "zlib"), (b"plain", "zlib"), (b"{}", "br")):
        with pytest.raises(BadMessage):
            encoding.unpack(data, marked)


def test_kinds_are_found_by_every_word_that_people_use() -> None:
    for word in ("deploy", "deployment", "deployments", "Deployment"):
        assert kinds.by_word(word) == kinds.by_kind("Deployment", "apps/v1")
    assert kinds.by_kind("Deployment", "apps/v1beta1") is not None
    assert kinds.by_kind("Deployment", "example.org/v1") is None
    assert kinds.by_kind("Secret") is None
    pod = kinds.by_kind("Pod")
    assert pod is not None
    assert pod.path("shop", "web-0") == "/api/v1/namespaces/shop/pods/web-0"


def test_no_role_has_a_wildcard_a_secret_or_for_the_agent_a_write() -> None:
    rules = [(each["metadata"]["name"], rule) for each in (*AGENT, *HUB) for rule in each.get("rules", ())]
    assert rules
    for name, rule in rules:
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"]), name
        assert "secrets" not in rule["resources"], name
    for name, rule in rules:
        if name == "kubeagent-diagnostician":
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, rule


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (messages.AgentInfo, '{"cluster_id":"a","capabilities":null}'),
        (messages.Heartbeat, '{"cluster_id":"a","timestamp":"2025-09-28T10:00:00.123456789Z","metrics":null}'),
        (messages.Command, '{"id":"a","args":null,"timeout":30000000000}'),
        (messages.CommandResult, '{"command_id":"a","cluster_id":"a","status":"success","duration":1500000000}'),
        (messages.Event, '{"id":"a","cluster_id":"a","labels":null,"new_field":{}}'),
    ],
)
def test_what_go_writes_for_nothing_is_nothing(type_: type[messages.Message], text: str) -> None:
    assert isinstance(messages.decode(text.encode(), type_), type_)


def test_a_null_where_something_must_stand_is_bad() -> None:
    with pytest.raises(BadMessage):
        messages.decode(b'{"cluster_id":null}', messages.AgentInfo)


def test_a_result_and_its_message_id() -> None:
    assert messages.command_of(messages.result_id("task-evidence-1")) == "task-evidence-1"
