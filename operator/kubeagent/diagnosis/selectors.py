"""Label selectors: what they match, and how they are asked of the API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubeagent.diagnosis.objects import mapping, objects, string_map, strings, text


def matches(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a metav1.LabelSelector selects these labels. An empty selector selects everything."""
    wanted = string_map(selector, "matchLabels")
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _holds(text(term, "key"), text(term, "operator"), strings(term, "values"), labels)
        for term in objects(selector, "matchExpressions")
    )


def _holds(key: str, operator: str, values: list[str], labels: Mapping[str, str]) -> bool:
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case "Gt" | "Lt":
            return _compare(labels.get(key, ""), values, operator)
        case _:
            return False


def _compare(value: str, values: list[str], operator: str) -> bool:
    try:
        left, right = int(value), int(values[0])
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else left < right


def equality(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a plain map (a Service's selector, a nodeSelector) selects these labels. An empty one selects
    nothing.
    """
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def query(selector: Any) -> str:
    """The selector as a `labelSelector` parameter; "" if it says nothing that can be sent."""
    terms = [f"{name}={value}" for name, value in sorted(string_map(selector, "matchLabels").items())]
    for term in objects(selector, "matchExpressions"):
        key, values = text(term, "key"), ",".join(strings(term, "values"))
        written = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(text(term, "operator"))
        terms += [written] if written else []
    return ",".join(terms)


def plain_query(selector: Mapping[str, str]) -> str:
    """A plain map of labels as a `labelSelector` parameter."""
    return query({"matchLabels": dict(selector)})


def template_labels(workload: Any) -> dict[str, str]:
    """The labels that pods of a workload get."""
    return string_map(mapping(workload, "spec", "template"), "metadata", "labels")
