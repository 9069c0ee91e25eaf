"""managedFields and last-applied become facts, and leave the object."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeagent.diagnosis.facts import LAST_APPLIED, digest, extract
from kubeagent.diagnosis.objects import lookup
from tests.unit.diagnosis.build import applied, at, obj, put, written

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_the_records_leave_and_the_rest_stays() -> None:
    config = written(applied(obj("ConfigMap", "env", data={"A": "1"})), "kubectl-edit", 60, ("data", "A"))
    config = put(config, "metadata.annotations.team", "shop")

    clean, changes, applied_ = extract(config)

    assert "managedFields" not in clean["metadata"]
    assert clean["metadata"]["annotations"] == {"team": "shop"}
    assert clean["data"] == {"A": "1"}
    assert [(item.manager, item.operation, item.paths) for item in changes] == [("kubectl-edit", "Update", ("data.A",))]
    assert changes[0].time is not None and changes[0].time.strftime("%Y-%m-%dT%H:%M:%SZ") == at(60)
    assert applied_ == ()
    assert "managedFields" in config["metadata"], "the input is not touched"


@pytest.mark.parametrize(
    ("was", "now", "facts"),
    [
        pytest.param({"A": "1", "B": "2"}, {"A": "1"}, [("data.B", "removed")], id="removed"),
        pytest.param({"A": "1"}, {"A": "2"}, [("data.A", "changed")], id="changed"),
        pytest.param({"A": "1"}, {"A": "1", "C": "3"}, [], id="added"),
        pytest.param({"app.properties": "x"}, {}, [("data[app.properties]", "removed")], id="dotted key"),
    ],
)
def test_last_applied(was: dict[str, str], now: dict[str, str], facts: list[tuple[str, str]]) -> None:
    _, _, found = extract(applied(obj("ConfigMap", "env", data=now), obj("ConfigMap", "env", data=was)))

    assert [(item.path, item.state) for item in found] == facts
    assert all(len(item.digest) == 12 for item in found)


def test_lists_are_told_by_what_they_are_merged_by() -> None:
    def deployment(limit: str) -> dict[str, object]:
        web = {
            "name": "web",
            "resources": {"limits": {"memory": limit}},
            "env": [{"name": "A", "value": "1"}],
        }
        return obj("Deployment", "x", spec={"template": {"spec": {"containers": [web]}}})

    path = ("spec", "template", "spec", "containers", 'k:{"name":"web"}', "resources", "limits", "memory")
    _, changes, facts = extract(applied(written(deployment("16Mi"), "kubectl-patch", 5, path), deployment("128Mi")))

    field = "spec.template.spec.containers[name=web].resources.limits.memory"
    assert changes[0].paths == (field,)
    assert [(item.path, item.digest) for item in facts] == [(field, digest("128Mi"))]
    assert lookup(deployment("16Mi"), field) == "16Mi"


def test_what_a_controller_wrote_to_status_is_not_told() -> None:
    node = written(obj("Node", "n"), "kubelet", 5, ("status", "conditions"))
    node["metadata"]["managedFields"][0]["subresource"] = "status"

    assert extract(node)[1][0].paths == ()


@given(JUNK)
def test_junk_never_raises(junk: object) -> None:
    extract(junk)
    extract({"kind": "ConfigMap", "metadata": junk, "data": junk})
    extract({"metadata": {"managedFields": junk, "annotations": {LAST_APPLIED: json.dumps(junk, default=str)}}})
    extract({"metadata": {"managedFields": [{"fieldsV1": junk, "time": junk, "manager": junk}]}, "data": junk})


def test_bounds() -> None:
    wide = written(obj("ConfigMap", "x"), "m", 1, *(("data", f"k{index}") for index in range(5000)))
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"f:a": deep}
    deepest = obj("ConfigMap", "y")
    deepest["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": deep}]

    assert len(extract(wide)[1][0].paths) == 256
    assert len(extract(deepest)[1]) == 1
