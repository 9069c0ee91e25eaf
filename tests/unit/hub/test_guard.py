"""The scope guard: what counts as in force, and what does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kubeagent.hub.guard import NoGuard, ScopeGuard, holds
from kubeagent.kube.port import Object
from kubeagent.resources.policies import POLICIES, SCOPE_POLICY
from tests.fakes.kube import FakeCluster, key_of
from tests.unit.hub.given import Clock

POLICY, BINDING = [each for each in POLICIES if each["metadata"]["name"] == SCOPE_POLICY]


def served(manifest: dict[str, Any]) -> Object:
    """The manifest as the API server gives it back: with its defaults."""
    live = copy.deepcopy(manifest)
    match = live["spec"].get("matchConstraints")
    if match:
        match |= {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
        match["resourceRules"][0]["scope"] = "*"
    live["status"] = {"observedGeneration": 1}
    return live


def guard(*objects: Object, clock: Clock | None = None) -> tuple[ScopeGuard, FakeCluster]:
    kube = FakeCluster(*objects)
    return ScopeGuard(kube, POLICIES, SCOPE_POLICY, clock or Clock()), kube


async def test_it_is_in_force_as_applied() -> None:
    found, _ = guard(served(POLICY), served(BINDING))
    assert await found.in_force()


@pytest.mark.parametrize("objects", [[], [served(POLICY)], [served(BINDING)]], ids=["none", "no-binding", "no-policy"])
async def test_both_must_be_there(objects: list[Object]) -> None:
    found, _ = guard(*objects)
    assert not await found.in_force()


def altered(manifest: dict[str, Any], *path: Any, to: Any) -> Object:
    live = served(manifest)
    place: Any = live["spec"]
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return live


@pytest.mark.parametrize(
    "live",
    [
        altered(POLICY, "failurePolicy", to="Ignore"),
        altered(POLICY, "validations", to=[]),
        altered(POLICY, "validations", 0, "expression", to="true"),
        altered(POLICY, "matchConstraints", "resourceRules", 0, "operations", to=["UPDATE"]),
        altered(POLICY, "matchConstraints", "resourceRules", 0, "scope", to="Cluster"),
        altered(POLICY, "matchConstraints", "namespaceSelector", to={"matchLabels": {"a": "b"}}),
        altered(POLICY, "matchConstraints", "objectSelector", to={"matchLabels": {"a": "b"}}),
        altered(POLICY, "matchConstraints", "excludeResourceRules", to=[{"resources": ["*"]}]),
        altered(POLICY, "matchConstraints", "matchPolicy", to="Exact"),
        altered(POLICY, "matchConditions", to=None),
        altered(POLICY, "matchConditions", to=[{"name": "never", "expression": "false"}]),
        altered(POLICY, "variables", 0, "expression", to="'local'"),
        altered(POLICY, "paramKind", to={"apiVersion": "v1", "kind": "ConfigMap"}),
        {**served(POLICY), "metadata": {"name": SCOPE_POLICY, "deletionTimestamp": "2026-11-21T09:00:00Z"}},
        altered(BINDING, "validationActions", to=["Audit", "Warn"]),
        altered(BINDING, "validationActions", to=None),
        altered(BINDING, "matchResources", to={"namespaceSelector": {"matchLabels": {"a": "b"}}}),
        altered(BINDING, "policyName", to="another"),
        altered(BINDING, "paramRef", to={"name": "x"}),
    ],
)
async def test_an_altered_guard_is_none(live: Object) -> None:
    others = {key_of(each): each for each in (served(POLICY), served(BINDING))}
    found, _ = guard(*{**others, key_of(live): live}.values())
    assert not await found.in_force()


def test_more_actions_than_deny_are_fine() -> None:
    assert holds(BINDING, altered(BINDING, "validationActions", to=["Deny"]))
    assert not holds(POLICY, {})


async def test_an_answer_is_remembered_for_a_while_and_no_longer() -> None:
    clock = Clock()
    found, kube = guard(served(POLICY), served(BINDING), clock=clock)
    assert await found.in_force()
    del kube.objects[key_of(BINDING)]
    assert await found.in_force()
    clock.forward(30)
    assert not await found.in_force()
    kube.add(served(BINDING))
    assert not await found.in_force()
    clock.forward(5)
    assert await found.in_force()


async def test_what_cannot_be_read_is_not_in_force() -> None:
    found, kube = guard(served(POLICY), served(BINDING))
    kube.down = True
    assert not await found.in_force()


async def test_a_hub_that_knows_no_policy_trusts_none() -> None:
    assert not await ScopeGuard(FakeCluster(), (), SCOPE_POLICY, Clock()).in_force()


async def test_it_can_be_switched_off() -> None:
    assert await NoGuard().in_force()
