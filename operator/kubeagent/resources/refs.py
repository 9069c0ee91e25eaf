"""How an object of a cluster is named, everywhere: in evidence, in verdicts, in status.

An `ObjectKey` is the hashable name that the engine joins on. It carries no uid and no fieldPath: those belong to
one observation or one statement about the object, not to its name.
"""

from __future__ import annotations

import msgspec


class ObjectKey(msgspec.Struct, frozen=True, order=True, rename="camel", omit_defaults=True):
    """apiVersion, kind, namespace ("" for a cluster-scoped object) and name."""

    api_version: str
    kind: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """`Deployment shop/checkout`, `Node worker-1` for what has no namespace, `Cluster` for what has no name."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}".rstrip()
