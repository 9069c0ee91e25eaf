"""The admission policies of the hub's cluster: who may ask about what, and who writes the answer.

They are data here, so that the chart's YAML is generated from the same text that the hub compares the live objects
with: `kubeagent-task-scope` decides whether a task's author may look at its target, by the author's own permissions,
which the hub cannot repeat afterwards (groups are not recorded). Without that guard the hub dispatches nothing.
"""

from __future__ import annotations

from typing import Any, Final

from kubeagent.resources.base import GROUP

SYSTEM_NAMESPACE: Final = "kubeagent-system"
HUB_ACCOUNT: Final = "kubeagent-operator"
HUB_USER: Final = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{HUB_ACCOUNT}"
SCOPE_POLICY: Final = "kubeagent-task-scope"

Manifest = dict[str, Any]

_NAMESPACED_KINDS: Final = (
    "Pod",
    "Service",
    "Endpoints",
    "PersistentVolumeClaim",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Event",
    "ReplicationController",
    "ResourceQuota",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ControllerRevision",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Ingress",
    "NetworkPolicy",
    "EndpointSlice",
    "Lease",
    "Role",
    "RoleBinding",
)
_BUILT_IN_GROUPS: Final = (
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "networking.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "coordination.k8s.io",
    "rbac.authorization.k8s.io",
)


def _policy(
    name: str,
    resources: list[str],
    operations: list[str],
    validations: list[dict[str, str]],
    *,
    variables: dict[str, str] | None = None,
    conditions: dict[str, str] | None = None,
) -> Manifest:
    spec: Manifest = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": operations, "resources": resources}
            ]
        },
        "validations": validations,
    }
    if conditions:
        spec["matchConditions"] = [{"name": key, "expression": value} for key, value in conditions.items()]
    if variables:
        spec["variables"] = [{"name": key, "expression": value} for key, value in variables.items()]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "kubeagent"}},
        "spec": spec,
    }


def _binding(policy: Manifest) -> Manifest:
    name = policy["metadata"]["name"]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "kubeagent"}},
        "spec": {"policyName": name, "validationActions": ["Deny", "Audit"]},
    }


def _listed(words: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{word}'" for word in words) + "]"


STATUS_WRITER: Final = _policy(
    "kubeagent-status-writer",
    ["*/status"],
    ["CREATE", "UPDATE"],
    [
        {
            "expression": f"request.userInfo.username == '{HUB_USER}'",
            "messageExpression": "'status of ' + request.resource.resource +"
            " ' is written by the operator only, not by ' + request.userInfo.username",
            "reason": "Forbidden",
        }
    ],
)

BOOKKEEPING: Final = _policy(
    "kubeagent-bookkeeping",
    ["*"],
    ["CREATE", "UPDATE"],
    [
        {
            "expression": "variables.new.all(k, !k.startsWith('kopf.zalando.org/') ||"
            " (k in variables.old && variables.old[k] == variables.new[k])) &&"
            " variables.old.all(k, !k.startsWith('kopf.zalando.org/') || k in variables.new)",
            "message": "kopf.zalando.org/ annotations are operator state",
            "reason": "Forbidden",
        }
    ],
    conditions={"not-operator": f"request.userInfo.username != '{HUB_USER}'"},
    variables={
        "new": "object.metadata.?annotations.orValue({})",
        "old": "oldObject == null ? {} : oldObject.metadata.?annotations.orValue({})",
    },
)

TASK_AUTHOR: Final = _policy(
    "kubeagent-task",
    ["diagnosistasks"],
    ["CREATE", "UPDATE"],
    [
        {
            "expression": "oldObject != null || !has(object.spec.requestedBy) ||"
            " object.spec.requestedBy == request.userInfo.username",
            "message": "spec.requestedBy must be your own username",
        }
    ],
)

TASK_SCOPE: Final = _policy(
    SCOPE_POLICY,
    ["diagnosistasks"],
    ["CREATE", "UPDATE"],
    [
        {
            "expression": "variables.cluster == 'local' && variables.ns == request.namespace && variables.own ||"
            f" authorizer.group('{GROUP}').resource('managedclusters').name(variables.cluster)"
            ".check('diagnose').allowed()",
            "messageExpression": "request.userInfo.username + ' lacks verb diagnose on managedclusters/' +"
            " variables.cluster + ', needed for a target outside namespace ' + request.namespace +"
            " ' of cluster local' + (variables.own ? '' :"
            " ' (kind ' + variables.kind + ' is cluster-scoped or not known as namespaced)')",
            "reason": "Forbidden",
        }
    ],
    conditions={
        "scope-is-new": "oldObject == null || object.spec.?target != oldObject.spec.?target ||"
        " object.spec.?cluster != oldObject.spec.?cluster"
    },
    variables={
        "cluster": "object.spec.?cluster.orValue('local')",
        "kind": "object.spec.?target.kind.orValue('')",
        "ns": "object.spec.?target.namespace.orValue(request.namespace)",
        "group": "object.spec.?target.apiVersion.orValue('v1').contains('/') ?"
        " object.spec.target.apiVersion.split('/')[0] : ''",
        "own": f"variables.kind in {_listed(_NAMESPACED_KINDS)} && variables.group in {_listed(_BUILT_IN_GROUPS)} ||"
        " variables.kind == 'Namespace' && variables.group == '' &&"
        " object.spec.target.?name.orValue(request.namespace) == request.namespace",
    },
)

_ALL: Final = (STATUS_WRITER, BOOKKEEPING, TASK_AUTHOR, TASK_SCOPE)

POLICIES: Final[tuple[Manifest, ...]] = (*_ALL, *(_binding(policy) for policy in _ALL))
"""Every policy and its binding, policies first: apply them before any role that grants `create`."""
