"""What each identity may ask of an API server: the source of the charts' roles, and of those demo and tests run with.

The agent's role is derived from the same table as its reads, so the two cannot drift. Verbs and resources are listed,
never `*`: a wildcard would include Secrets, and the custom verbs `approve`, `remediate` and `diagnose`.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from kubeagent.protocol.kinds import KINDS, Kind
from kubeagent.resources.base import GROUP
from kubeagent.resources.policies import HUB_ACCOUNT, SYSTEM_NAMESPACE

AGENT_ACCOUNT: Final = "kubeagent-diagnostician"
OWN_RESOURCES: Final = ("diagnosistasks", "managedclusters", "remediationapprovals", "runbooks")
_READ: Final = ["get", "list", "watch"]
_LABELS: Final = {"app.kubernetes.io/part-of": "kubeagent"}

Manifest = dict[str, Any]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Manifest:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _group(kind: Kind) -> str:
    group, slash, _ = kind.api_version.rpartition("/")
    return group if slash else ""


def _agent_rules() -> list[Manifest]:
    by_group = groupby(sorted(KINDS, key=_group), key=_group)
    reads = [_rule(group, sorted(kind.plural for kind in kinds), _READ) for group, kinds in by_group]
    return [
        *reads,
        _rule("", ["pods/log"], ["get"]),
        _rule("metrics.k8s.io", ["nodes", "pods"], ["get", "list"]),
    ]


def _hub_rules() -> list[Manifest]:
    status = [f"{plural}/status" for plural in OWN_RESOURCES if plural != "remediationapprovals"]
    return [
        _rule(GROUP, list(OWN_RESOURCES), _READ),
        _rule(GROUP, ["diagnosistasks"], ["delete"]),
        _rule(GROUP, ["managedclusters"], ["create"]),
        _rule(GROUP, status, ["patch"]),
        _rule("kopf.dev", ["clusterkopfpeerings"], [*_READ, "patch"]),
        _rule(
            "admissionregistration.k8s.io",
            ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
            ["get"],
        ),
        {**_rule("", ["namespaces"], ["get"]), "resourceNames": ["kube-system"]},
    ]


def _people() -> list[Manifest]:
    """Roles to bind to people and teams; none is aggregated to `admin` or `edit`."""
    own = list(OWN_RESOURCES)
    return [
        _role("kubeagent-viewer", [_rule(GROUP, own, _READ)]),
        _role(
            "kubeagent-author",
            [
                _rule(GROUP, ["diagnosistasks"], ["create", "get", "list", "patch", "update", "watch"]),
                _rule(GROUP, [plural for plural in own if plural != "diagnosistasks"], _READ),
            ],
        ),
        _role("kubeagent-cluster-diagnose", [_rule(GROUP, ["managedclusters"], ["diagnose", *_READ])]),
        _role("kubeagent-cluster-accept", [_rule(GROUP, ["managedclusters"], [*_READ, "patch"])]),
    ]


def _role(name: str, rules: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": _LABELS},
        "rules": rules,
    }


def _account(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": _LABELS},
        "automountServiceAccountToken": False,
    }


def _bound(role: str, account: str) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role, "labels": _LABELS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": SYSTEM_NAMESPACE}],
    }


HUB: Final[tuple[Manifest, ...]] = (
    _account(HUB_ACCOUNT),
    _role(HUB_ACCOUNT, _hub_rules()),
    _bound(HUB_ACCOUNT, HUB_ACCOUNT),
    *_people(),
)
"""The hub's identity, and the roles for people."""

AGENT: Final[tuple[Manifest, ...]] = (
    _account(AGENT_ACCOUNT),
    _role(AGENT_ACCOUNT, _agent_rules()),
    _bound(AGENT_ACCOUNT, AGENT_ACCOUNT),
)
"""The edge agent's identity: get, list and watch, no Secret."""
