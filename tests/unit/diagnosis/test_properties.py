"""Whatever the evidence holds, the engine answers, within its bounds, and the same each time."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeagent.diagnosis import judge
from kubeagent.protocol.evidence import Evidence, Listing, PodLog, Refusal, decode, encode
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Outcome
from tests.unit.diagnosis.build import (
    NOW,
    App,
    Cluster,
    container,
    crashing,
    endpoints,
    event,
    key,
    obj,
    pod_spec,
    put,
    service,
    waiting,
)
from tests.unit.diagnosis.faults import FAULTS as FIRST
from tests.unit.diagnosis.faults import Fault
from tests.unit.diagnosis.faults_more import MORE

FAULTS = (*FIRST, *MORE)
NAMES = st.sampled_from(["a", "b", "c"])
MESSAGES = st.sampled_from(
    [
        "couldn't find key K in ConfigMap shop/a",
        'secret "b" not found',
        "0/1 nodes are available: 1 node(s) were unschedulable, 1 Insufficient cpu.",
        "Error creating: exceeded quota: a, requested: pods=1, used: pods=x, limited: pods=",
        "Liveness probe failed: dial tcp: connection refused",
        "dial tcp 10.96.3.4:80: connect: connection refused",
        "lookup b: no such host",
        "x" * 5000,
        "\x1b[31mnot found\x1b[0m\x00\u202e",
        "",
    ]
)
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), NAMES, max_size=2)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.text(max_size=8) | NAMES | MESSAGES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "spec",
                    "status",
                    "name",
                    "state",
                    "waiting",
                    "terminated",
                    "ports",
                    "env",
                    "containers",
                    "conditions",
                    "metadata",
                    "template",
                    "selector",
                    "type",
                    "reason",
                    "message",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
KINDS = st.sampled_from(
    [
        "Pod",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Service",
        "ConfigMap",
        "Node",
        "Job",
        "CronJob",
        "Event",
        "PersistentVolumeClaim",
        "EndpointSlice",
        "Ingress",
        "HorizontalPodAutoscaler",
        "ControllerRevision",
        "Thing",
    ]
)


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """An object of a real kind with a mixture of plausible and absurd parts."""
    kind, name = draw(KINDS), draw(NAMES)
    made = obj(kind, name, labels=draw(LABELS), age=draw(st.integers(-100, 10**6)))
    owner = {
        "kind": draw(KINDS),
        "name": draw(NAMES),
        "controller": True,
        "uid": f"uid-{draw(KINDS)}-{draw(NAMES)}".lower(),
    }
    made["metadata"]["ownerReferences"] = [owner]
    spec = pod_spec(container(draw(NAMES), env=draw(JSON))) | {"nodeName": draw(NAMES)}
    made["spec"] = draw(
        st.one_of(
            st.just(spec),
            st.builds(
                lambda labels: {
                    "selector": labels,
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
                LABELS,
            ),
            JSON,
        )
    )
    made["status"] = draw(
        st.one_of(
            st.builds(
                lambda message: {
                    "phase": "Pending",
                    "containerStatuses": [waiting("CreateContainerConfigError", message, name="a")],
                },
                MESSAGES,
            ),
            st.just({"phase": "Running", "containerStatuses": [crashing(name="a")]}),
            JSON,
        )
    )
    made["involvedObject"] = {"kind": draw(KINDS), "name": draw(NAMES), "namespace": "shop"}
    made["message"], made["reason"] = (
        draw(MESSAGES),
        draw(st.sampled_from(["Unhealthy", "FailedCreate", "FailedMount", "Killing"])),
    )
    made["data"] = draw(JSON)
    return made


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    found = tuple(draw(st.lists(objects(), max_size=12)))
    logs = tuple(
        PodLog(namespace="shop", pod=draw(NAMES), container=draw(NAMES), text=draw(MESSAGES))
        for _ in range(draw(st.integers(0, 3)))
    )
    listings = tuple(
        Listing(api_version="v1", kind=kind, namespace="shop") for kind in draw(st.lists(KINDS, max_size=4))
    )
    refused = tuple(
        Refusal(object=key(draw(KINDS), draw(st.sampled_from(["", "a"]))), reason="Forbidden")
        for _ in range(draw(st.integers(0, 2)))
    )
    return Evidence(
        target=key(draw(KINDS), draw(NAMES)),
        now=NOW,
        objects=found,
        logs=logs,
        listings=listings,
        unreadable=refused,
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(evidences())
def test_any_evidence_gets_an_answer_within_bounds(evidence: Evidence) -> None:
    verdict = judge(evidence)

    assert verdict.model_validate(json.loads(verdict.model_dump_json())) == verdict
    assert (verdict.outcome is Outcome.ROOT_CAUSE_FOUND) == bool(verdict.root_causes)
    for cause in (*verdict.root_causes, *verdict.alternatives):
        below = [(link.object.kind, link.object.namespace, link.object.name) for link in cause.chain[1:]]
        assert len(below) == len(set(below))
        assert all(len(line.text.encode()) <= 2048 and "\x1b" not in line.text for line in cause.evidence)
    assert judge(decode(encode(evidence))).model_dump_json() == verdict.model_dump_json()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FAULTS), st.randoms(use_true_random=False))
def test_the_order_of_the_evidence_does_not_matter(fault: Fault, chance: Random) -> None:
    evidence = fault.cluster().evidence(fault.targets[0])
    shuffled = list(evidence.objects)
    chance.shuffle(shuffled)

    mixed = msgspec.structs.replace(
        evidence, objects=tuple(shuffled), listings=evidence.listings[::-1], logs=evidence.logs[::-1]
    )

    assert judge(mixed).model_dump_json() == judge(evidence).model_dump_json()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FAULTS), st.data())
def test_a_missing_piece_never_makes_it_crash(fault: Fault, data: st.DataObject) -> None:
    evidence = fault.cluster().evidence(fault.targets[0])
    kept = tuple(item for item in evidence.objects if data.draw(st.booleans()))

    judge(msgspec.structs.replace(evidence, objects=kept, listings=()))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_could_not_be_read_lowers_confidence(fault: Fault) -> None:
    evidence = fault.cluster().evidence(fault.targets[0])
    refusal = Refusal(object=ObjectKey("v1", "Node", "", ""), reason="Forbidden")

    full = judge(evidence).root_causes[0].confidence
    less = judge(msgspec.structs.replace(evidence, unreadable=(refusal,))).root_causes[0].confidence

    assert less < full <= 95


def test_services_that_miss_each_other_are_no_cycle() -> None:
    """Two crashing applications, each of which says that it cannot reach the other."""
    parts: list[Any] = []
    logs = {}
    for name, other in (("left", "right"), ("right", "left")):
        app = App(name, pod_spec(container(env=[{"name": "PEER", "value": f"{other}:80"}])))
        svc = service(name, {"app": name})
        parts += [app.broken(app.pod(crashing())), svc, endpoints(svc, 0)]
        logs[f"{name}-bbb-1", "web"] = f"dial tcp {other}:80: connect: connection refused"

    verdict = Cluster(*parts, logs=logs).diagnose(key("Deployment", "left"))

    assert [cause.reason for cause in verdict.root_causes] == ["ApplicationCrash"]
    assert verdict.root_causes[0].confidence < 70


def test_a_flood_is_cut() -> None:
    app = App(replicas=300)
    pods = [
        app.pod(waiting("CreateContainerConfigError", f'secret "s{index}" not found'), index=index)
        for index in range(300)
    ]

    verdict = Cluster(app.broken(*pods)).diagnose(key("Deployment", "checkout"))

    assert len(verdict.root_causes) <= 21
    assert len(verdict.model_dump_json()) < 200 * 1024


def test_time_alone_changes_only_what_time_should() -> None:
    cluster = FAULTS[0].cluster()
    evidence = cluster.evidence(key("Deployment", "checkout"))
    later = msgspec.structs.replace(evidence, now=NOW + timedelta(minutes=1))

    assert "5 min ago" in judge(later).root_causes[0].summary
    assert event(cluster.objects[0], "X", "y")["kind"] == "Event"
    assert put({}, "a.b", 1) == {"a": {"b": 1}}
