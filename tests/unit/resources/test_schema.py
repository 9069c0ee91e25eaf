"""The generated CustomResourceDefinitions are structural and bounded. That they are accepted is an integration test."""

from collections.abc import Iterator
from typing import Any

import pytest

from kubeagent.resources.kind import Resource
from kubeagent.resources.schema import KINDS, definition

FORBIDDEN = {"$ref", "$defs", "anyOf", "allOf", "oneOf", "title", "additionalProperties", "const", "exclusiveMaximum"}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema node with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def root(kind: type[Resource]) -> dict[str, Any]:
    version = definition(kind)["spec"]["versions"][0]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
class TestEveryKind:
    def test_is_structural(self, kind: type[Resource]) -> None:
        for path, node in nodes(root(kind)):
            assert not FORBIDDEN & node.keys(), path
            assert node.get("type"), f"{path} has no type"

    def test_bounds_every_string_and_list_of_spec_and_status(self, kind: type[Resource]) -> None:
        for path, node in nodes(root(kind)):
            if not path.startswith((".spec", ".status")):
                continue
            if node["type"] == "array":
                assert "maxItems" in node, path
            if node["type"] == "string" and "enum" not in node and node.get("format") != "date-time":
                assert "maxLength" in node, path

    def test_never_defaults_to_null_or_to_nothing(self, kind: type[Resource]) -> None:
        for path, node in nodes(root(kind)):
            if path not in ("", ".spec"):
                assert node.get("default", "something") not in (None, "", [], {}), path

    def test_has_names_columns_and_a_category(self, kind: type[Resource]) -> None:
        whole = definition(kind)["spec"]
        assert whole["names"]["categories"] == ["kubeagent"]
        assert whole["names"]["shortNames"]
        assert [column["name"] for column in whole["versions"][0]["additionalPrinterColumns"]].count("Age") == 1


def test_short_names_and_scope_are_those_of_the_contract() -> None:
    names = {kind.__name__: (kind.short_names[0], kind.namespaced) for kind in KINDS}
    assert names["DiagnosisTask"] == ("dt", True)
    assert names["Runbook"] == ("rb", True)
    assert names["ManagedCluster"] == ("kmc", False)


def test_the_columns_of_a_task_are_those_of_the_contract() -> None:
    columns = definition(KINDS[0])["spec"]["versions"][0]["additionalPrinterColumns"]
    first = [column["name"] for column in columns if not column.get("priority")]
    assert first == ["Cluster", "Target", "Phase", "Root Cause", "Confidence", "Approval", "Age"]


def test_only_decisions_have_no_status() -> None:
    without = [kind.__name__ for kind in KINDS if "subresources" not in definition(kind)["spec"]["versions"][0]]
    assert without == ["RemediationApproval"]
