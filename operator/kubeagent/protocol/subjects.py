"""The subjects of the bus: the seeds' `agent.<kind>.<cluster_id>`, and nothing else.

A cluster id becomes a NATS token and, with per-agent credentials, part of a permission; an id such as `*` or `a.b`
would widen it. So every id is checked on the way in and on the way out, by the grammar of an RFC 1123 label.
"""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

from kubeagent.errors import BadMessage
from kubeagent.resources.base import LABEL_PATTERN

Channel = Literal["register", "heartbeat", "event", "metrics", "command", "result", "remediate"]
CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)

_CLUSTER_ID = re.compile(LABEL_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)


def is_cluster_id(text: str) -> bool:
    """Whether `text` may name a cluster: an RFC 1123 label."""
    return _CLUSTER_ID.fullmatch(text) is not None


def subject(channel: Channel, cluster_id: str) -> str:
    """`agent.result.prod-eu`. Raises ValueError for an id that is no label."""
    if not is_cluster_id(cluster_id):
        raise ValueError(f"{cluster_id!r} is not a cluster id: use at most 63 of a-z, 0-9 and '-'")
    return f"agent.{channel}.{cluster_id}"


def every(channel: Channel) -> str:
    """`agent.result.*`: the hub's subscription."""
    return f"agent.{channel}.*"


def cluster_of(text: str, channel: Channel) -> str:
    """The cluster that a message on this subject is from. Raises BadMessage for any other subject."""
    prefix, _, cluster_id = text.rpartition(".")
    if prefix != f"agent.{channel}" or not is_cluster_id(cluster_id):
        raise BadMessage(f"{text[:200]!r} is not a subject of the form agent.{channel}.<cluster id>")
    return cluster_id
