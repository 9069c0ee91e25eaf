"""Evidence: what was read of a cluster for one question, as plain data.

It is gathered in one place (at the edge, or by the CLI), travels as one JSON document, and is judged in another. It
holds Kubernetes objects as the API server gave them, less what may not travel: Secrets are never in it, managedFields
and last-applied annotations were turned into `Change` and `Applied` facts, and free text went through the redactor.

Absence is evidence too, so it is said and not implied: `absent` names objects that were asked for and do not exist,
`listings` says which lists are complete (a rule may conclude "no pod matches" only from a complete list), and
`unreadable` names what was refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from kubeagent.resources.refs import ObjectKey

SCHEMA = 1
"""Version of this shape; a reader refuses a higher one."""


class Struct(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A frozen camelCase record; unknown fields of newer senders are ignored."""


class Change(Struct, frozen=True):
    """From managedFields: `manager` last wrote these `paths` of the object at `time` (RFC 3339)."""

    object: ObjectKey
    manager: str
    operation: str
    time: datetime | None = None
    subresource: str = ""
    paths: tuple[str, ...] = ()


class Applied(Struct, frozen=True):
    """From the last-applied annotation: paths whose live value is no longer the one last applied.

    `path` is a field path such as `data.DB_HOST`; `state` is `removed` or `changed`; `digest` is the first 12 hex
    digits of the SHA-256 of the old value, so that equality can be shown without the value.
    """

    object: ObjectKey
    path: str
    state: str
    digest: str = ""


class PodLog(Struct, frozen=True):
    """The tail of one container's log; `previous` is the instance before the last restart."""

    namespace: str
    pod: str
    container: str
    previous: bool = False
    text: str = ""
    truncated: bool = False


class Listing(Struct, frozen=True):
    """A list that was read. `complete` is false if a limit cut it."""

    api_version: str
    kind: str
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    complete: bool = True


class Refusal(Struct, frozen=True):
    """What could not be read: `reason` is Forbidden, OutOfScope, Timeout, Unavailable, LimitReached or NotSupported."""

    object: ObjectKey
    reason: str
    message: str = ""


class Evidence(Struct, frozen=True):
    """Everything that a verdict is drawn from. `target` is what was asked about; `now` is the time of gathering."""

    target: ObjectKey
    now: datetime
    schema: int = SCHEMA
    cluster_id: str = ""
    cluster_uid: str = ""
    kubernetes_version: str = ""
    objects: tuple[dict[str, Any], ...] = ()
    changes: tuple[Change, ...] = ()
    applied: tuple[Applied, ...] = ()
    logs: tuple[PodLog, ...] = ()
    absent: tuple[ObjectKey, ...] = ()
    listings: tuple[Listing, ...] = ()
    unreadable: tuple[Refusal, ...] = ()
    closest_names: tuple[str, ...] = ()
    reads: int = 0


def encode(evidence: Evidence) -> bytes:
    """The JSON document."""
    return msgspec.json.encode(evidence)


def decode(data: bytes) -> Evidence:
    """The evidence in a JSON document. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return msgspec.json.decode(data, type=Evidence)
