"""Pods that are never made: the API server refused them, and the workload's events and conditions repeat why.

One reason, FailedCreate, stands for a dozen causes; the message tells them apart. Each names its own object
to change: the quota, the missing account, the webhook, the label of the namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from kubeagent.diagnosis.findings import Finding, Reason, Weight, states
from kubeagent.diagnosis.history import differences, has_run
from kubeagent.diagnosis.objects import mapping, objects, text
from kubeagent.diagnosis.quotes import sentence
from kubeagent.diagnosis.rules import limits
from kubeagent.diagnosis.rules.refusals import LOOKS_AT, Refused, finding, refusals
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.workloads import template_path
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category


def _reason(code: str, category: Category, weight: Weight, advice: str) -> Reason:
    return Reason(code, category, weight, LOOKS_AT, advice)


ACCOUNT_MISSING = _reason(
    "ServiceAccountNotFound",
    Category.PERMISSIONS,
    Weight.EXACT,
    "Create the ServiceAccount, or correct its name.",
)
POD_SECURITY = _reason(
    "PodSecurityViolation",
    Category.SECURITY,
    Weight.EXACT,
    "Make the template conform, or review the namespace's enforce label.",
)
WEBHOOK_FAILED = _reason(
    "AdmissionWebhookFailed",
    Category.ADMISSION,
    Weight.EXACT,
    "Repair the webhook's Service or its certificate.",
)
WEBHOOK_DENIED = _reason(
    "AdmissionDenied", Category.ADMISSION, Weight.SPECIFIC, "Conform to the policy named, or ask its owner."
)
PRIORITY_CLASS_MISSING = _reason(
    "PriorityClassNotFound",
    Category.SCHEDULING,
    Weight.EXACT,
    "Create the PriorityClass, or correct its name.",
)
RUNTIME_CLASS_MISSING = _reason(
    "RuntimeClassNotFound",
    Category.CONFIGURATION,
    Weight.EXACT,
    "Create the RuntimeClass, or correct its name.",
)
NAMESPACE_TERMINATING = _reason(
    "NamespaceTerminating",
    Category.CONTROL_PLANE,
    Weight.EXACT,
    "The namespace is being deleted; find what holds it.",
)
PODS_REFUSED = _reason(
    "PodCreationRefused",
    Category.ADMISSION,
    Weight.LIKELY,
    "Read the API server's message; it names what it refused.",
)
REASONS: Final = (
    limits.QUOTA_EXCEEDED,
    limits.QUOTA_NEEDS_RESOURCES,
    ACCOUNT_MISSING,
    POD_SECURITY,
    WEBHOOK_FAILED,
    WEBHOOK_DENIED,
    PRIORITY_CLASS_MISSING,
    RUNTIME_CLASS_MISSING,
    limits.LIMIT_RANGE,
    NAMESPACE_TERMINATING,
    PODS_REFUSED,
)

_ACCOUNT = re.compile(r"serviceaccount \"([^\"]+)\" not found", re.I)
_WEBHOOK = re.compile(r"failed calling webhook \"([^\"]+)\"")
_DENIED = re.compile(r"admission webhook \"([^\"]+)\" denied|ValidatingAdmissionPolicy '([^']+)'")
_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found", re.I)
_RUNTIME = re.compile(r"RuntimeClass \"([^\"]+)\" not found", re.I)


def refused_pods(scene: Scene) -> Iterator[Finding]:
    """The finding for each such message."""
    for refused in refusals(scene):
        for find in _BY_MESSAGE:
            found = find(scene, refused)
            if found:
                yield found
                break


def _account(scene: Scene, refused: Refused) -> Finding | None:
    match = _ACCOUNT.search(refused.message)
    if not match:
        return None
    field = f"{template_path(refused.workload.kind)}.serviceAccountName"
    key = ObjectKey("v1", "ServiceAccount", refused.creator.namespace, match.group(1).rpartition("/")[2])
    changed = differences(scene.view, refused.workload)
    difference = next((item for item in changed if item.path == field and item.new == key.name), None)
    if difference and not has_run(scene.view, refused.workload):
        before = f"; before it was {difference.old}" if difference.old else ""
        summary = f"{refused.workload} now runs as {key}, which does not exist{before}"
        return finding(scene, refused, ACCOUNT_MISSING, refused.workload, field, summary)
    summary = f"{key} does not exist, so {refused.workload} cannot make its pods"
    return finding(scene, refused, ACCOUNT_MISSING, key, "", summary)


def _pod_security(scene: Scene, refused: Refused) -> Finding | None:
    match = re.search(r"violates PodSecurity \"([^\"]+)\": (.*)", refused.message, re.S)
    if not match:
        return None
    namespace = ObjectKey("v1", "Namespace", "", refused.creator.namespace)
    label = "metadata.labels[pod-security.kubernetes.io/enforce]"
    template = scene.difference(refused.workload, "spec.template.spec")
    relabelled = scene.view.last_change(namespace, label)
    if relabelled and (template is None or (template.time and relabelled.time and relabelled.time > template.time)):
        summary = f"{namespace} now enforces PodSecurity {match.group(1)}, which {refused.workload} violates"
        return finding(scene, refused, POD_SECURITY, namespace, label, summary)
    summary = f"{refused.workload} violates PodSecurity {match.group(1)}: {sentence(match.group(2), 300)}"
    return finding(scene, refused, POD_SECURITY, refused.workload, template_path(refused.workload.kind), summary)


def _webhook(scene: Scene, refused: Refused) -> Finding | None:
    match = _WEBHOOK.search(refused.message)
    if not match:
        return None
    service = re.search(r"https://([a-z0-9-]+)\.([a-z0-9-]+)\.svc", refused.message)
    kinds = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
    known = [
        key
        for kind in kinds
        for key in scene.view.kind(kind)
        if any(text(item, "name") == match.group(1) for item in objects(scene.view.get(key), "webhooks"))
    ]
    backend = ObjectKey("v1", "Service", service.group(2), service.group(1)) if service else None
    key = known[0] if known else backend or ObjectKey("", "Webhook", "", match.group(1))
    summary = f"admission webhook {match.group(1)} does not answer, so {refused.workload} cannot make its pods"
    found = finding(scene, refused, WEBHOOK_FAILED, key, "", summary)
    return _because(found, backend) if backend else found


def _because(found: Finding, service: ObjectKey) -> Finding:
    """A webhook that does not answer may itself be explained by what is behind its Service."""
    return replace(found, because=states(service))


def _denied(scene: Scene, refused: Refused) -> Finding | None:
    match = _DENIED.search(refused.message)
    if not match:
        return None
    name = match.group(1) or match.group(2)
    summary = f"admission by {name} denies the pods of {refused.workload}: {sentence(refused.message, 300)}"
    return finding(scene, refused, WEBHOOK_DENIED, refused.workload, template_path(refused.workload.kind), summary)


def _priority_class(scene: Scene, refused: Refused) -> Finding | None:
    match = _PRIORITY.search(refused.message)
    if not match:
        return None
    key = ObjectKey("scheduling.k8s.io/v1", "PriorityClass", "", match.group(1))
    return _class_missing(scene, refused, PRIORITY_CLASS_MISSING, key, "priorityClassName")


def _runtime_class(scene: Scene, refused: Refused) -> Finding | None:
    match = _RUNTIME.search(refused.message)
    if not match:
        return None
    key = ObjectKey("node.k8s.io/v1", "RuntimeClass", "", match.group(1))
    return _class_missing(scene, refused, RUNTIME_CLASS_MISSING, key, "runtimeClassName")


def _class_missing(scene: Scene, refused: Refused, reason: Reason, key: ObjectKey, field: str) -> Finding:
    """The workload is to change if its newest revision named the class; else the class is missing."""
    path = f"{template_path(refused.workload.kind)}.{field}"
    if scene.difference(refused.workload, path):
        summary = f"{refused.workload} names {key}, which does not exist"
        return finding(scene, refused, reason, refused.workload, path, summary)
    return finding(scene, refused, reason, key, "", f"{key}, which {refused.workload} names, does not exist")


def _terminating(scene: Scene, refused: Refused) -> Finding | None:
    if "is being terminated" not in refused.message:
        return None
    key = ObjectKey("v1", "Namespace", "", refused.creator.namespace)
    return finding(
        scene,
        refused,
        NAMESPACE_TERMINATING,
        key,
        "",
        f"{key} is being deleted, so nothing can be made in it",
    )


def _any(scene: Scene, refused: Refused) -> Finding | None:
    summary = f"the API server refuses the pods of {refused.workload}: {sentence(refused.message, 400)}"
    field = template_path(refused.workload.kind) if mapping(scene.view.get(refused.workload), "spec") else ""
    return finding(scene, refused, PODS_REFUSED, refused.workload, field, summary, certain=False)


_BY_MESSAGE: Final = (
    limits.quota,
    limits.quota_demands,
    _account,
    _pod_security,
    _webhook,
    _denied,
    _priority_class,
    _runtime_class,
    limits.limit_range,
    _terminating,
    _any,
)
