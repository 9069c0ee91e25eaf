"""The same fault asked about from elsewhere: the Service in front, a pod, the namespace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeagent.diagnosis import Gathering, judge
from kubeagent.diagnosis.facts import LAST_APPLIED
from kubeagent.diagnosis.objects import lookup
from kubeagent.diagnosis.quotes import shown
from kubeagent.protocol.evidence import decode, encode
from kubeagent.protocol.redaction import redact_evidence
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import EvidenceLine, Outcome
from tests.unit.diagnosis.build import NOW, Cluster, endpoints, event, key, put, service, told
from tests.unit.diagnosis.faults import DEPLOYMENT, FAULTS, Fault
from tests.unit.diagnosis.faults_changed import CHANGED
from tests.unit.diagnosis.faults_more import MORE

BEHIND = [
    fault
    for fault in FAULTS
    if DEPLOYMENT in fault.targets and "hop" not in fault.name and not fault.name.startswith("Service")
]
READY_ANYWAY = ("readiness", "image", "quota", "paused")


@pytest.mark.parametrize(
    "fault",
    [fault for fault in BEHIND if not fault.name.startswith(READY_ANYWAY)],
    ids=lambda fault: fault.name,
)
def test_from_the_service_in_front(fault: Fault) -> None:
    before = fault.cluster()
    svc = service("front", {"app": "checkout"})
    cluster = Cluster(before.objects, svc, endpoints(svc, 0), logs=before.logs)

    verdict = cluster.diagnose(key("Service", "front"))

    assert verdict.outcome is Outcome.ROOT_CAUSE_FOUND, verdict.message
    assert told(verdict.root_causes[0]) == (fault.reason, fault.object, fault.path)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_from_the_namespace(fault: Fault) -> None:
    verdict = fault.cluster().diagnose(ObjectKey("v1", "Namespace", "", "shop"))

    assert (fault.reason, fault.object, fault.path) in [told(cause) for cause in verdict.root_causes]


@pytest.mark.parametrize("fault", (*FAULTS, *MORE, *CHANGED), ids=lambda fault: fault.name)
def test_every_quotation_can_be_looked_up(fault: Fault) -> None:
    cluster = fault.cluster()
    verdict = cluster.diagnose(fault.targets[0])

    said = "\n".join(_everything_said(cluster))
    for cause in verdict.root_causes:
        assert cause.evidence, "a root cause without evidence"
        for line in cause.evidence:
            assert _stands(cluster, said, line), line


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_chain_leads_from_the_target_to_the_root(fault: Fault) -> None:
    verdict = fault.cluster().diagnose(fault.targets[0])

    chain = verdict.root_causes[0].chain
    assert chain[-1].object == verdict.root_causes[0].object
    assert chain[0].object.key == fault.targets[0]
    assert len({link.object for link in chain[1:]}) == len(chain[1:])


def test_the_chain_of_two_hops_names_the_service_between() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "two hops")

    chain = fault.cluster().diagnose(DEPLOYMENT).root_causes[0].chain

    kinds = [link.object.kind for link in chain]
    assert kinds == ["Deployment", "Pod", "Service", "Deployment"]
    assert chain[-1].object.field_path == "spec.replicas"


def test_a_distractor_does_not_displace_the_fresh_fault() -> None:
    fault = FAULTS[0]
    cluster = fault.cluster()
    gone = put(cluster.objects[0], "metadata.uid", "uid-earlier")
    noise = [
        event(gone, reason, "old trouble", ago=3000, count=99) for reason in ("FailedCreate", "FailedMount", "BackOff")
    ]

    verdict = Cluster(cluster.objects, noise).diagnose(DEPLOYMENT)

    assert told(verdict.root_causes[0]) == (fault.reason, fault.object, fault.path)


def _everything_said(cluster: Cluster) -> list[str]:
    found = list(cluster.logs.values())
    stack: list[Any] = list(cluster.objects)
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str):
            found.append(item)
    return found


@pytest.mark.parametrize("fault", (*FAULTS, *MORE, *CHANGED), ids=lambda fault: fault.name)
def test_what_the_redactor_leaves_is_enough(fault: Fault) -> None:
    evidence = fault.cluster().evidence(fault.targets[0])

    verdict = judge(decode(encode(redact_evidence(evidence))))

    assert [told(cause) for cause in verdict.root_causes] == [(fault.reason, fault.object, fault.path)]


def _stands(cluster: Cluster, said: str, line: EvidenceLine) -> bool:
    """Whether a quotation can be read again at its source."""
    body = next((item for item in cluster.objects if _is(item, line)), {})
    path, _, value = line.text.partition(": ")
    match line.source:
        case "event" | "log" | "status":
            return line.text in said
        case "field":
            return shown(lookup(body, path)) == value
        case "managedFields":
            manager, operation, time = line.text.rsplit(" ", 2)
            wanted = {"manager": manager, "operation": operation, "time": time}
            return any(wanted.items() <= entry.items() for entry in body["metadata"]["managedFields"])
        case "last-applied":
            was = lookup(json.loads(body["metadata"]["annotations"][LAST_APPLIED]), path)
            return was is not None and was != lookup(body, path)
        case source:
            return source == "absent" and not body


def _is(item: dict[str, Any], line: EvidenceLine) -> bool:
    name = item["metadata"]["name"]
    return (item["kind"], name) == (line.object.kind, line.object.name)


def test_a_kind_that_the_cluster_does_not_serve_is_a_target_not_found_with_the_closest_kind() -> None:
    gathering = Gathering(key("Deploymint", "checkout"))
    for read in gathering.wanted():
        gathering.refused(read, "NotSupported", "serves no kind 'Deploymint'")

    verdict = judge(gathering.evidence(NOW))

    assert (verdict.outcome, verdict.reason) == (Outcome.UNDETERMINED, "TargetNotFound")
    assert "did you mean kind Deployment?" in verdict.message
