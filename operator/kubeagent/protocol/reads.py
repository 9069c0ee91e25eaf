"""The typed reads: all that anything of ours may ask of a managed cluster, three shapes, each one HTTP GET.

Gathering asks for them, the seeds' `kubectl get|logs|...` syntax is parsed into them, and the Kubernetes adapter turns
each into a path of a closed set. None of them can write, follow, exec, or name a Secret.
"""

from __future__ import annotations

import msgspec

from kubeagent.resources.refs import ObjectKey

LIST_LIMIT = 500
LOG_TAIL_LINES = 200
LOG_LIMIT_BYTES = 256 * 1024


class Get(msgspec.Struct, frozen=True, tag="get", rename="camel"):
    """One object by name."""

    key: ObjectKey


class List(msgspec.Struct, frozen=True, tag="list", rename="camel", omit_defaults=True):
    """The objects of a kind in a namespace ("" for all, or for a cluster-scoped kind)."""

    api_version: str
    kind: str
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    limit: int = LIST_LIMIT


class Log(msgspec.Struct, frozen=True, tag="log", rename="camel", omit_defaults=True):
    """The tail of a container's log; `container` "" is the pod's only one."""

    namespace: str
    pod: str
    container: str = ""
    previous: bool = False
    tail_lines: int = LOG_TAIL_LINES
    limit_bytes: int = LOG_LIMIT_BYTES


Read = Get | List | Log
