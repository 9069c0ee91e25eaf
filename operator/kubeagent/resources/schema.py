"""From a model to a CustomResourceDefinition: pydantic's JSON schema made structural, and the frame around it.

Pydantic's output is not a structural schema: it has $ref and $defs, `anyOf: [X, null]` for optionals, titles, and
`additionalProperties: false`. `structural` removes each, and adds what only Kubernetes knows: CEL rules, list types.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from kubeagent.resources.base import GROUP, VERSION
from kubeagent.resources.diagnosistask import DiagnosisTask
from kubeagent.resources.kind import Column, Resource
from kubeagent.resources.managedcluster import ManagedCluster
from kubeagent.resources.remediationapproval import RemediationApproval
from kubeagent.resources.runbook import Runbook

KINDS: Final[tuple[type[Resource], ...]] = (DiagnosisTask, Runbook, ManagedCluster, RemediationApproval)

_DROPPED: Final = {"title", "additionalProperties", "$defs"}

Schema = dict[str, Any]


def structural(model: type[BaseModel]) -> Schema:
    """The structural OpenAPI v3 schema of a model, with its CEL rules."""
    whole = model.model_json_schema(by_alias=True, mode="validation")
    definitions = whole.get("$defs", {})
    rules = {sub.__name__: getattr(sub, "cel_rules", ()) for sub in _models_in(model)}
    return _clean(whole, definitions, rules)


def _models_in(model: type[BaseModel]) -> set[type[BaseModel]]:
    return {
        model,
        *(sub for sub in _descendants(BaseModel) if sub.__module__.startswith("kubeagent.resources")),
    }


def _descendants(root: type[BaseModel]) -> set[type[BaseModel]]:
    return {sub for child in root.__subclasses__() for sub in ({child} | _descendants(child))}


def _clean(schema: Schema, definitions: dict[str, Schema], rules: dict[str, tuple[dict[str, str], ...]]) -> Schema:
    title = schema.get("title", "")
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        around = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions[name], **around}
        title = name
    if "anyOf" in schema or "allOf" in schema:
        schema = _optional(schema)
        return _clean(schema, definitions, rules)
    cleaned = {key: value for key, value in schema.items() if key not in _DROPPED and not _is_null_default(key, value)}
    if "properties" in cleaned:
        cleaned["properties"] = {key: _clean(value, definitions, rules) for key, value in cleaned["properties"].items()}
    if "items" in cleaned:
        cleaned["items"] = _clean(cleaned["items"], definitions, rules)
    if cleaned.get("type") == "object" and "properties" not in cleaned:
        cleaned["x-kubernetes-preserve-unknown-fields"] = True
    if rules.get(title) and "properties" in cleaned:
        cleaned["x-kubernetes-validations"] = list(rules[title])
    return _without_empty_defaults(cleaned)


def _optional(schema: Schema) -> Schema:
    """`X | None` is X that may be absent."""
    either: list[Schema] = schema.get("anyOf") or schema.get("allOf") or []
    options = [each for each in either if each.get("type") != "null"]
    if len(options) != 1:
        raise ValueError(f"only `X | None` has a structural form, not {schema}")
    return {**options[0], **{key: value for key, value in schema.items() if key not in ("anyOf", "allOf")}}


def _is_null_default(key: str, value: Any) -> bool:
    return key == "default" and value is None


def _without_empty_defaults(schema: Schema) -> Schema:
    """An empty list or object as default would only be written back by the server as noise."""
    if schema.get("default") in ([], {}, ""):
        return {key: value for key, value in schema.items() if key != "default"}
    return schema


def definition(kind: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/part-of": "kubeagent"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": kind.plural,
                "singular": kind.__name__.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["kubeagent"],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: type[Resource]) -> dict[str, Any]:
    has_status = "status" in kind.model_fields and kind.model_fields["status"].default is not None
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _root(kind, has_status)},
        **({"subresources": {"status": {}}} if has_status else {}),
    }


def _root(kind: type[Resource], has_status: bool) -> Schema:
    fields = kind.model_fields
    spec = structural(_model(fields["spec"].annotation))
    properties: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
    }
    if has_status:
        properties["status"] = structural(_model(fields["status"].annotation))
    root: Schema = {"type": "object", "description": kind.description, "properties": properties}
    if fields["spec"].is_required():
        root["required"] = ["spec"]
    else:
        properties["spec"] |= {"default": {}}
    name_rule = getattr(kind, "name_rule", None)
    return root | ({"x-kubernetes-validations": [name_rule]} if name_rule else {})


def _model(annotation: Any) -> type[BaseModel]:
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TypeError(f"spec and status are models, not {annotation!r}")
    return annotation


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    return entry | ({"priority": column.priority} if column.priority else {})
