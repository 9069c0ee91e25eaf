"""Everything that has to be in a cluster before the hub or an agent runs there, as plain objects, in order of applying.

Rendered to YAML by `python -m kubeagent.cli.generate`, applied by `kubeagent install`, and what demo and tests run
with: there is one source, and the charts carry the same files.
"""

from __future__ import annotations

from typing import Any, Final

from kubeagent.protocol import rbac
from kubeagent.resources.kind import Resource
from kubeagent.resources.policies import POLICIES, SYSTEM_NAMESPACE
from kubeagent.resources.schema import KINDS, definition

Manifest = dict[str, Any]

NAMESPACE: Final[Manifest] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": SYSTEM_NAMESPACE,
        "labels": {
            "app.kubernetes.io/part-of": "kubeagent",
            "pod-security.kubernetes.io/enforce": "restricted",
        },
    },
}


def crds() -> tuple[Manifest, ...]:
    """The four CustomResourceDefinitions."""
    return tuple(definition(kind) for kind in KINDS)


def hub() -> tuple[Manifest, ...]:
    """The hub's cluster: kinds first, then the guards, then who may use them."""
    return (*crds(), NAMESPACE, *POLICIES, *rbac.HUB)


def agent() -> tuple[Manifest, ...]:
    """A managed cluster."""
    return (NAMESPACE, *rbac.AGENT)


def crd_file(kind: type[Resource]) -> str:
    """The name of a kind's file below crds/."""
    return f"kubeagent.io_{kind.plural}.yaml"
