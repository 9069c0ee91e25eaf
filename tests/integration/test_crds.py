"""The generated kinds and policies on a real API server: what they take, and what they refuse in which words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import install
from kubeagent.errors import ClusterError

HASH = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def server(kubectl: Kubectl) -> Iterator[Kubectl]:
    install(kubectl)
    kubectl.run("create", "namespace", "crds")
    yield kubectl
    kubectl.run("delete", "namespace", "crds", "--wait=false")


def body(kind: str, name: str, spec: dict[str, Any] | None) -> dict[str, Any]:
    metadata = {"name": name} | ({} if kind == "ManagedCluster" else {"namespace": "crds"})
    whole: dict[str, Any] = {"apiVersion": "kubeagent.io/v1", "kind": kind, "metadata": metadata}
    return whole | ({} if spec is None else {"spec": spec})


def create(server: Kubectl, kind: str, name: str, spec: dict[str, Any] | None) -> dict[str, Any]:
    created: dict[str, Any] = json.loads(
        server.run("create", "-f", "-", "-o", "json", stdin=json.dumps(body(kind, name, spec)))
    )
    return created


POD = {"kind": "Pod", "name": "web-0"}

VALID: dict[str, tuple[str, dict[str, Any] | None]] = {
    "task": ("DiagnosisTask", {"target": POD}),
    "sweep": ("DiagnosisTask", {"target": {"kind": "Namespace"}}),
    "everything": (
        "DiagnosisTask",
        {
            "cluster": "prod-eu",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "checkout"},
            "agents": ["diagnostician", "cost"],
            "question": "why is it slow?",
            "runbookRefs": [{"name": "oom"}],
            "autoRemediate": True,
            "approvalRequired": False,
            "timeoutSeconds": 5,
            "ttlSecondsAfterFinished": 0,
        },
    ),
    "runbook": (
        "Runbook",
        {
            "trigger": {"errorType": "OOMKilled"},
            "steps": [
                {"action": "query_metrics", "params": {"query": "up", "deep": {"er": [1, 2]}}, "when": "true"},
                {"action": "patch_resource", "params": {"patch": "{{.NewMemoryLimit}}"}, "assert": "true"},
            ],
        },
    ),
    "cluster": ("ManagedCluster", None),
    "decision": (
        "RemediationApproval",
        {"taskRef": {"name": "t", "uid": "u"}, "planHash": HASH, "decision": "Approve", "approver": "jane"},
    ),
}

INVALID: dict[str, tuple[str, str, dict[str, Any] | None, str]] = {
    "no target": ("DiagnosisTask", "x", {}, "spec.target: Required value"),
    "no name": ("DiagnosisTask", "x", {"target": {"kind": "Pod"}}, "target.name is required unless"),
    "no spec": ("DiagnosisTask", "x", None, "spec: Required value"),
    "lower-case kind": ("DiagnosisTask", "x", {"target": {"kind": "pod", "name": "a"}}, "spec.target.kind"),
    "bad cluster": ("DiagnosisTask", "x", {"cluster": "*", "target": POD}, "spec.cluster"),
    "bad agent": ("DiagnosisTask", "x", {"agents": ["wizard"], "target": POD}, "spec.agents[0]: Unsupported value"),
    "same agent twice": ("DiagnosisTask", "x", {"agents": ["cost", "cost"], "target": POD}, "Duplicate value"),
    "no time": ("DiagnosisTask", "x", {"timeoutSeconds": 0, "target": POD}, "spec.timeoutSeconds"),
    "huge question": ("DiagnosisTask", "x", {"question": "a" * 5000, "target": POD}, "spec.question: Too long"),
    "runbook without trigger": ("Runbook", "x", {"steps": []}, "spec.trigger: Required value"),
    "runbook with a shell": ("Runbook", "x", {"trigger": {}, "steps": [{"action": "rm -rf"}]}, "spec.steps[0].action"),
    "cluster with dots": ("ManagedCluster", "a.b", {}, "a cluster's name is a DNS label"),
    "remediation word": ("ManagedCluster", "x", {"remediation": "On"}, "Unsupported value"),
    "remediation in kube-system": (
        "ManagedCluster",
        "x",
        {"remediationNamespaces": ["kube-system"]},
        "may not name a kube-* namespace",
    ),
    "no approvers": ("ManagedCluster", "x", {"approvers": {"low": 0}}, "spec.approvers.low"),
    "hash": (
        "RemediationApproval",
        "x",
        {"taskRef": {"name": "t", "uid": "u"}, "planHash": "md5:1", "decision": "Approve", "approver": "jane"},
        "spec.planHash",
    ),
    "maybe": (
        "RemediationApproval",
        "x",
        {"taskRef": {"name": "t", "uid": "u"}, "planHash": HASH, "decision": "Maybe", "approver": "jane"},
        "Unsupported value",
    ),
    "decision about nothing": (
        "RemediationApproval",
        "x",
        {"planHash": HASH, "decision": "Approve", "approver": "jane"},
        "spec.taskRef: Required value",
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_a_valid_object_is_taken_whole(server: Kubectl, name: str) -> None:
    kind, spec = VALID[name]
    created = create(server, kind, f"valid-{name}", spec)
    for field, value in (spec or {}).items():
        assert created["spec"][field] == value, f"{field} was pruned or changed"


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_object_is_refused_with_the_field_and_the_reason(server: Kubectl, name: str) -> None:
    kind, object_name, spec, message = INVALID[name]
    with pytest.raises(ClusterError) as refused:
        create(server, kind, object_name, spec)
    assert message in refused.value.message


def test_defaults_are_written_by_the_server(server: Kubectl) -> None:
    spec = create(server, "DiagnosisTask", "defaults", {"target": POD})["spec"]
    assert spec["cluster"] == "local"
    assert spec["agents"] == ["diagnostician", "remediator"]
    assert (spec["autoRemediate"], spec["approvalRequired"], spec["timeoutSeconds"]) == (False, True, 120)


@pytest.mark.parametrize(
    "patch",
    [
        {"target": {"name": "web-1"}},
        {"cluster": "other"},
        {"question": "why?"},
        {"agents": ["cost"]},
        {"timeoutSeconds": 9},
    ],
    ids=lambda patch: next(iter(patch)),
)
def test_a_question_cannot_be_changed_afterwards(server: Kubectl, patch: dict[str, Any]) -> None:
    field = next(iter(patch))
    name = f"fixed-{field.lower()}"
    create(server, "DiagnosisTask", name, {"target": POD})
    with pytest.raises(ClusterError, match=f"{field} is immutable"):
        server.run("patch", "dt", name, "-n", "crds", "--type=merge", "-p", json.dumps({"spec": patch}))


def test_cancel_and_ttl_can_be_changed_and_a_cancel_not_be_taken_back(server: Kubectl) -> None:
    create(server, "DiagnosisTask", "cancelled", {"target": POD})
    change = ["patch", "dt", "cancelled", "-n", "crds", "--type=merge", "-p"]
    server.run(*change, json.dumps({"spec": {"cancel": True, "ttlSecondsAfterFinished": 60}}))
    with pytest.raises(ClusterError, match="a cancelled task stays cancelled"):
        server.run(*change, json.dumps({"spec": {"cancel": False}}))


def test_a_decision_cannot_be_changed(server: Kubectl) -> None:
    create(server, "RemediationApproval", "kept", VALID["decision"][1])
    with pytest.raises(ClusterError, match="a decision is immutable"):
        server.run(
            "patch", "rap", "kept", "-n", "crds", "--type=merge", "-p", json.dumps({"spec": {"decision": "Reject"}})
        )


def test_only_the_operator_writes_a_status(server: Kubectl) -> None:
    create(server, "DiagnosisTask", "forged", {"target": POD})
    with pytest.raises(ClusterError, match="written by the operator only"):
        server.run(
            "patch",
            "dt",
            "forged",
            "-n",
            "crds",
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps({"status": {"phase": "Succeeded"}}),
        )


def test_an_author_is_who_he_says_and_stays_in_his_namespace(server: Kubectl) -> None:
    server.run("create", "rolebinding", "jane", "-n", "crds", "--clusterrole=kubeagent-author", "--user=jane")
    as_jane = ["create", "--as=jane", "-f", "-"]
    own = body("DiagnosisTask", "own", {"target": POD, "requestedBy": "jane"})
    server.run(*as_jane, stdin=json.dumps(own))
    for name, spec, message in (
        ("lie", {"target": POD, "requestedBy": "admin"}, "must be your own username"),
        ("away", {"target": {**POD, "namespace": "kube-system"}}, "lacks verb diagnose on managedclusters/local"),
        ("abroad", {"cluster": "prod-eu", "target": POD}, "lacks verb diagnose on managedclusters/prod-eu"),
        ("node", {"target": {"kind": "Node", "name": "n"}}, "is cluster-scoped or not known as namespaced"),
    ):
        with pytest.raises(ClusterError, match=message):
            server.run(*as_jane, stdin=json.dumps(body("DiagnosisTask", name, spec)))


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("list", "pods", True),
        ("get", "pods/log", True),
        ("list", "events.events.k8s.io", False),
        ("get", "secrets", False),
        ("list", "secrets", False),
        ("create", "pods/exec", False),
        ("patch", "deployments", False),
        ("delete", "pods", False),
        ("get", "nodes/proxy", False),
        ("impersonate", "users", False),
    ],
)
def test_the_agent_reads_and_nothing_else(server: Kubectl, verb: str, resource: str, allowed: bool) -> None:
    resource, _, subresource = resource.partition("/")
    identity = "--as=system:serviceaccount:kubeagent-system:kubeagent-diagnostician"
    more = [f"--subresource={subresource}"] if subresource else []
    answer = server.run("auth", "can-i", verb, resource, "-A", identity, *more, "--quiet=false") if allowed else ""
    if not allowed:
        with pytest.raises(ClusterError) as refused:
            server.run("auth", "can-i", verb, resource, "-A", identity, *more)
        assert ": no" in refused.value.message
    else:
        assert answer.strip() == "yes"
