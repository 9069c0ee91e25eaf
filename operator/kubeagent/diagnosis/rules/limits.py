"""Pods that are refused for what they ask for: quotas and limit ranges. At fault is what came last, the limit or the
template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubeagent.diagnosis.findings import Finding, Reason, Weight
from kubeagent.diagnosis.objects import child, mapping, objects, text
from kubeagent.diagnosis.quantities import parse
from kubeagent.diagnosis.quotes import sentence
from kubeagent.diagnosis.rules.refusals import LOOKS_AT, Refused, finding, is_newer
from kubeagent.diagnosis.scene import Scene
from kubeagent.diagnosis.workloads import template_path
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category


def _reason(code: str, category: Category, weight: Weight, advice: str) -> Reason:
    return Reason(code, category, weight, LOOKS_AT, advice)


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
LIMIT_RANGE = _reason(
    "LimitRangeViolated",
    Category.QUOTA,
    Weight.EXACT,
    "Keep to the LimitRange of the namespace, or change it.",
)

_QUOTA = re.compile(r"exceeded quota: ([^,\s]+), requested: (.+?), used: (.+?), limited: ([^\s]+)")
_QUOTA_DEMANDS = re.compile(r"failed quota: ([^:\s]+): must specify ([^\s;]+)")
_BREAKS = re.compile(r"(maximum|minimum) (\S+) usage per (\w+) is ([^,\s]+)", re.I)
_RATIO = re.compile(r"(\S+) max limit to request ratio per (\w+)", re.I)
_DEFAULTED = re.compile(r"must be less than or equal to (\S+) limit(?: of (\S+))?", re.I)
_AMOUNT = re.compile(r"([A-Za-z0-9./_-]+)=([^,\s]+)")


def quota(scene: Scene, refused: Refused) -> Finding | None:
    match = _QUOTA.search(refused.message)
    if not match:
        return None
    name, requested, used, limited = match.groups()
    resource = _exhausted(requested, used, limited)
    key = ObjectKey("v1", "ResourceQuota", refused.creator.namespace, name)
    limit, taken = _amounts(limited).get(resource, ""), _amounts(used).get(resource, "")
    summary = f"{key} is exhausted: {resource} {taken} of {limit} used, so {refused.workload} cannot make its pods"
    field = child("spec.hard", resource)
    return finding(scene, refused, QUOTA_EXCEEDED, key, field, summary)


def quota_demands(scene: Scene, refused: Refused) -> Finding | None:
    """A quota counts what the pods do not set."""
    match = _QUOTA_DEMANDS.search(refused.message)
    if not match:
        return None
    name, demanded = match.groups()
    key = ObjectKey("v1", "ResourceQuota", refused.creator.namespace, name)
    if is_newer(scene, key, refused.workload):
        summary = f"{key} now demands {demanded} of every pod, which {refused.workload} does not set"
        field = child("spec.hard", demanded.split(",")[0].partition(":")[0])
        return finding(scene, refused, QUOTA_NEEDS_RESOURCES, key, field, summary)
    summary = f"{refused.workload} must set {demanded}, because {key} counts it"
    field = f"{template_path(refused.workload.kind)}.containers"
    return finding(scene, refused, QUOTA_NEEDS_RESOURCES, refused.workload, field, summary)


def limit_range(scene: Scene, refused: Refused) -> Finding | None:
    """A pod breaks a LimitRange, or breaks a limit that only a LimitRange can have given it."""
    words = sentence(refused.message.partition("forbidden: ")[2] or refused.message, 300)
    for key, field in _limits_broken(scene, refused):
        if is_newer(scene, key, refused.workload):
            summary = f"{key} does not allow the pods of {refused.workload}: {words}"
            return finding(scene, refused, LIMIT_RANGE, key, field, summary)
    if not (_BREAKS.search(refused.message) or _RATIO.search(refused.message)):
        return None
    summary = f"{refused.workload} breaks a LimitRange: {words}"
    field = f"{template_path(refused.workload.kind)}.containers"
    return finding(scene, refused, LIMIT_RANGE, refused.workload, field, summary)


def _limits_broken(scene: Scene, refused: Refused) -> Iterator[tuple[ObjectKey, str]]:
    """The LimitRanges that set the bound which the message names, and the field that does."""
    breaks, defaulted = _BREAKS.search(refused.message), _DEFAULTED.search(refused.message)
    bounds: tuple[str, ...]
    if breaks:
        bounds, resource, amount = ("max" if breaks.group(1).lower() == "maximum" else "min",), breaks[2], breaks[4]
    elif defaulted:
        bounds, resource, amount = ("default", "max"), defaulted[1], defaulted[2] or ""
    else:
        return
    for key in scene.view.kind("LimitRange", refused.creator.namespace):
        for item in objects(scene.view.get(key), "spec", "limits"):
            for bound in bounds:
                value = mapping(item, bound).get(resource)
                if value is not None and (not amount or parse(value) == parse(amount.rstrip("."))):
                    yield key, child(f"spec.limits[type={text(item, 'type')}].{bound}", resource)
                    break


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
