"""Pods that are never made: the API server refused them, and the workload's events and conditions repeat why.

One reason, FailedCreate, stands for a dozen causes; the message tells them apart. Each names its own object
to change: the quota, the missing account, the webhook, the label of the namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kubeagent.diagnosis.findings import Finding, Reason, State, Weight, states
from kubeagent.diagnosis.objects import child, mapping, moment, number, objects, text
from kubeagent.diagnosis.quantities import parse
from kubeagent.diagnosis.quotes import Quote, sentence
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.workloads import template_path
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

_LOOKS_AT = "FailedCreate events and ReplicaFailure conditions of a workload that has too few pods"


def _reason(code: str, category: Category, weight: Weight, advice: str) -> Reason:
    return Reason(code, category, weight, _LOOKS_AT, advice)


QUOTA_EXCEEDED = _reason(
    "QuotaExceeded",
    Category.QUOTA,
    Weight.EXACT,
    "Raise the quota, or free what uses it up in this namespace.",
)
QUOTA_NEEDS_RESOURCES = _reason(
    "QuotaRequiresResources",
    Category.QUOTA,
    Weight.EXACT,
    "Set the requests or limits that the quota demands.",
)
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
LIMIT_RANGE = _reason(
    "LimitRangeViolated",
    Category.QUOTA,
    Weight.EXACT,
    "Keep to the LimitRange of the namespace, or change it.",
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
    QUOTA_EXCEEDED,
    QUOTA_NEEDS_RESOURCES,
    ACCOUNT_MISSING,
    POD_SECURITY,
    WEBHOOK_FAILED,
    WEBHOOK_DENIED,
    PRIORITY_CLASS_MISSING,
    RUNTIME_CLASS_MISSING,
    LIMIT_RANGE,
    NAMESPACE_TERMINATING,
    PODS_REFUSED,
)

_RECENT: Final = timedelta(minutes=20)
_CREATORS: Final = ("ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController")
_QUOTA = re.compile(r"exceeded quota: ([^,\s]+), requested: (.+?), used: (.+?), limited: ([^\s]+)")
_QUOTA_DEMANDS = re.compile(r"failed quota: ([^:\s]+): must specify ([^\s;]+)")
_ACCOUNT = re.compile(r"serviceaccount \"([^\"]+)\" not found", re.I)
_WEBHOOK = re.compile(r"failed calling webhook \"([^\"]+)\"")
_DENIED = re.compile(r"admission webhook \"([^\"]+)\" denied|ValidatingAdmissionPolicy '([^']+)'")
_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found", re.I)
_RUNTIME = re.compile(r"RuntimeClass \"([^\"]+)\" not found", re.I)
_LIMIT_RANGE = re.compile(r"(?:maximum|minimum) (\S+) usage per|(\S+) max limit to request ratio", re.I)
_AMOUNT = re.compile(r"([A-Za-z0-9./_-]+)=([^,\s]+)")


@dataclass(frozen=True)
class Refused:
    """A creator of pods that the API server refuses, and its words."""

    creator: ObjectKey
    workload: ObjectKey
    message: str
    quote: Quote
    time: datetime | None


def refusals(scene: Scene) -> Iterator[Refused]:
    """Who has too few pods because the API server does not let it make them."""
    view = scene.view
    for kind in _CREATORS:
        for key in view.kind(kind):
            found = _condition(scene, key) or _event(scene, key)
            if found and _lacks_pods(scene, key):
                yield Refused(key, view.workload_of(key), found.text, found, found.time)


def _condition(scene: Scene, key: ObjectKey) -> Quote | None:
    for item in objects(scene.view.get(key), "status", "conditions"):
        if text(item, "type") == "ReplicaFailure" and text(item, "status") == "True":
            path = "status.conditions[type=ReplicaFailure].message"
            return Quote("status", key, text(item, "message"), moment(item, "lastTransitionTime"), path)
    return None


def _event(scene: Scene, key: ObjectKey) -> Quote | None:
    failed = scene.view.events(key, "FailedCreate")
    made = scene.view.events(key, "SuccessfulCreate")
    last = failed[-1] if failed else None
    if last is None or (last.time and scene.view.now - last.time > _RECENT):
        return None
    later = made and made[-1].time and last.time and made[-1].time > last.time
    return None if later else last.quote


def _lacks_pods(scene: Scene, key: ObjectKey) -> bool:
    obj = scene.view.get(key)
    match key.kind:
        case "DaemonSet":
            return number(obj, "status", "currentNumberScheduled") < number(obj, "status", "desiredNumberScheduled")
        case "Job":
            return not any(number(obj, "status", name) for name in ("active", "succeeded"))
        case _:
            return number(obj, "status", "replicas") < scene.replicas(key)


def refused_pods(scene: Scene) -> Iterator[Finding]:
    """The finding for each such message."""
    for refused in refusals(scene):
        for find in _BY_MESSAGE:
            finding = find(scene, refused)
            if finding:
                yield finding
                break


def _finding(
    scene: Scene,
    refused: Refused,
    reason: Reason,
    key: ObjectKey,
    field: str,
    summary: str,
    certain: bool = True,
) -> Finding:
    alteration = scene.alteration(key, field) if field else None
    return Finding(
        reason,
        key,
        f"{summary}{scene.told(alteration)}",
        field=field,
        message=summary,
        quotes=(
            refused.quote,
            *(scene.field_quotes(key, field) if field else ()),
            *_changes(scene, key, field),
        ),
        effects=states(State(refused.creator)),
        alteration=alteration,
        since=refused.time,
        certain=certain,
    )


def _changes(scene: Scene, key: ObjectKey, field: str) -> tuple[Quote, ...]:
    return scene.change_quotes(key, field) if field else ()


def _quota(scene: Scene, refused: Refused) -> Finding | None:
    match = _QUOTA.search(refused.message)
    if not match:
        return None
    name, requested, used, limited = match.groups()
    resource = _exhausted(requested, used, limited)
    key = ObjectKey("v1", "ResourceQuota", refused.creator.namespace, name)
    limit, taken = _amounts(limited).get(resource, ""), _amounts(used).get(resource, "")
    summary = f"{key} is exhausted: {resource} {taken} of {limit} used, so {refused.workload} cannot make its pods"
    field = child("spec.hard", resource)
    return _finding(scene, refused, QUOTA_EXCEEDED, key, field, summary)


def _exhausted(requested: str, used: str, limited: str) -> str:
    """The resource of which used and requested together are more than the limit."""
    asked, taken, limits = (_amounts(part) for part in (requested, used, limited))
    for name, amount in asked.items():
        wanted, has, limit = parse(amount), parse(taken.get(name, "0")), parse(limits.get(name))
        if wanted is not None and has is not None and limit is not None and wanted + has > limit:
            return name
    return next(iter(asked), "pods")


def _amounts(listed: str) -> dict[str, str]:
    return {match.group(1): match.group(2) for match in _AMOUNT.finditer(listed)}


def _quota_demands(scene: Scene, refused: Refused) -> Finding | None:
    match = _QUOTA_DEMANDS.search(refused.message)
    if not match:
        return None
    summary = f"{refused.workload} must set {match.group(2)}, because ResourceQuota {match.group(1)} counts it"
    field = f"{template_path(refused.workload.kind)}.containers"
    return _finding(scene, refused, QUOTA_NEEDS_RESOURCES, refused.workload, field, summary)


def _account(scene: Scene, refused: Refused) -> Finding | None:
    match = _ACCOUNT.search(refused.message)
    if not match:
        return None
    field = f"{template_path(refused.workload.kind)}.serviceAccountName"
    difference = scene.difference(refused.workload, field)
    key = ObjectKey("v1", "ServiceAccount", refused.creator.namespace, match.group(1).rpartition("/")[2])
    if difference and difference.new == key.name and difference.old is not None:
        summary = f"{refused.workload} now runs as {key}, which does not exist; before it was {difference.old}"
        return _finding(scene, refused, ACCOUNT_MISSING, refused.workload, field, summary)
    summary = f"{key} does not exist, so {refused.workload} cannot make its pods"
    return _finding(scene, refused, ACCOUNT_MISSING, key, "", summary)


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
        return _finding(scene, refused, POD_SECURITY, namespace, label, summary)
    summary = f"{refused.workload} violates PodSecurity {match.group(1)}: {sentence(match.group(2), 300)}"
    return _finding(scene, refused, POD_SECURITY, refused.workload, template_path(refused.workload.kind), summary)


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
    finding = _finding(scene, refused, WEBHOOK_FAILED, key, "", summary)
    return _because(finding, backend) if backend else finding


def _because(finding: Finding, service: ObjectKey) -> Finding:
    """A webhook that does not answer may itself be explained by what is behind its Service."""
    return Finding(**{**finding.__dict__, "because": states(service)})


def _denied(scene: Scene, refused: Refused) -> Finding | None:
    match = _DENIED.search(refused.message)
    if not match:
        return None
    name = match.group(1) or match.group(2)
    summary = f"admission by {name} denies the pods of {refused.workload}: {sentence(refused.message, 300)}"
    return _finding(scene, refused, WEBHOOK_DENIED, refused.workload, template_path(refused.workload.kind), summary)


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
        return _finding(scene, refused, reason, refused.workload, path, summary)
    return _finding(scene, refused, reason, key, "", f"{key}, which {refused.workload} names, does not exist")


def _limit_range(scene: Scene, refused: Refused) -> Finding | None:
    if not _LIMIT_RANGE.search(refused.message):
        return None
    words = sentence(refused.message.partition("forbidden: ")[2], 300)
    summary = f"{refused.workload} breaks a LimitRange: {words}"
    field = f"{template_path(refused.workload.kind)}.containers"
    return _finding(scene, refused, LIMIT_RANGE, refused.workload, field, summary)


def _terminating(scene: Scene, refused: Refused) -> Finding | None:
    if "is being terminated" not in refused.message:
        return None
    key = ObjectKey("v1", "Namespace", "", refused.creator.namespace)
    return _finding(
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
    return _finding(scene, refused, PODS_REFUSED, refused.workload, field, summary, certain=False)


_BY_MESSAGE: Final = (
    _quota,
    _quota_demands,
    _account,
    _pod_security,
    _webhook,
    _denied,
    _priority_class,
    _runtime_class,
    _limit_range,
    _terminating,
    _any,
)
