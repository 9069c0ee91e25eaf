"""The planner: what it reads, what it never reads, and that it ends."""

from __future__ import annotations

import pytest

from kubeagent.diagnosis import Bounds, Gathering, judge
from kubeagent.protocol.evidence import Evidence
from kubeagent.protocol.reads import Get, List, Log
from kubeagent.resources.refs import ObjectKey
from tests.unit.diagnosis.build import (
    NOW,
    NS,
    App,
    Cluster,
    container,
    endpoints,
    event,
    key,
    node,
    obj,
    pod_spec,
    service,
    waiting,
)
from tests.unit.diagnosis.faults import FAULTS, Fault, two_hops

DEPLOYMENT = key("Deployment", "checkout")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_it_ends_soon_and_never_reads_a_secret(fault: Fault) -> None:
    cluster = fault.cluster()

    cluster.evidence(fault.targets[0])

    assert cluster.rounds <= 9
    assert len(cluster.reads) == len(set(cluster.reads)) < 60
    assert all(not (isinstance(read, Get) and read.key.kind == "Secret") for read in cluster.reads)
    assert all(not (isinstance(read, List) and read.kind == "Secret") for read in cluster.reads)


def test_cost_follows_the_neighbourhood_and_not_the_namespace() -> None:
    def reads(others: int) -> tuple[int, int, int]:
        crowd = [part for index in range(others) for part in App(f"app-{index}").healthy()]
        cluster = Cluster(App().healthy(), crowd)
        evidence = cluster.evidence(DEPLOYMENT)
        return len(cluster.reads), cluster.rounds, len(evidence.objects)

    assert reads(0) == reads(200)


def test_it_follows_a_log_line_to_the_workload_behind_the_service() -> None:
    evidence = two_hops().evidence(DEPLOYMENT)

    kinds = {(item["kind"], item["metadata"]["name"]) for item in evidence.objects}
    assert {("Service", "orders-db"), ("EndpointSlice", "orders-db-x1"), ("Deployment", "orders-db")} <= kinds


def test_it_follows_an_ip_address_to_another_namespace() -> None:
    app = App()
    other = service("db", {"app": "db"}, port=5432, namespace="data")
    log = {("checkout-bbb-1", "web"): "dial tcp 10.96.3.4:5432: connect: connection refused"}

    evidence = Cluster(app.healthy(), other, endpoints(other, 0), logs=log).evidence(DEPLOYMENT)

    assert ("Service", "data") in {(item["kind"], item["metadata"].get("namespace")) for item in evidence.objects}


def test_names_in_other_namespaces_are_refused_where_that_is_not_allowed() -> None:
    app = App(spec=pod_spec(container()))
    log = {("checkout-bbb-1", "web"): "dial tcp: lookup db.data.svc.cluster.local: no such host"}

    evidence = Cluster(app.healthy(), logs=log).evidence(DEPLOYMENT, namespaces=frozenset({NS}))

    assert [(item.object.namespace, item.reason) for item in evidence.unreadable] == [("data", "OutOfScope")]
    assert all(item["metadata"].get("namespace", NS) == NS for item in evidence.objects)


def test_a_secret_that_is_handed_in_is_not_kept() -> None:
    gathering = Gathering(DEPLOYMENT)
    listing = List("v1", "Secret", NS)
    gathering.found(
        listing,
        [{"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}}, {"metadata": {"name": "t"}}],
    )

    assert gathering.evidence(NOW).objects == ()


def test_closest_names() -> None:
    evidence = Cluster(App().healthy(), App("payments").healthy()).evidence(key("Deployment", "chekcout"))

    assert evidence.closest_names == ("checkout",)


def test_refused_and_failed_reads_are_remembered() -> None:
    gathering = Gathering(DEPLOYMENT)
    for read in gathering.wanted():
        gathering.refused(read, "Forbidden", "no")

    assert gathering.wanted() == ()
    evidence = gathering.evidence(NOW)
    assert {item.reason for item in evidence.unreadable} == {"Forbidden"}
    assert judge(evidence).reason == "EvidenceIncomplete"


def test_reads_stay_wanted_until_they_are_answered() -> None:
    gathering = Gathering(DEPLOYMENT)

    first = gathering.wanted()
    gathering.missing(first[0])

    assert gathering.wanted() == first[1:]


def test_bounds_are_kept_and_said() -> None:
    app = App(replicas=50)
    cluster = Cluster(app.healthy())

    evidence = cluster.evidence(DEPLOYMENT, bounds=Bounds(objects=10, reads=20, rounds=3))

    assert len(evidence.objects) <= 10
    assert [item.reason for item in evidence.unreadable] == ["LimitReached"]


def test_logs_are_read_of_what_restarts_and_cut_to_the_bound() -> None:
    app = App()
    broken = app.pod(waiting("CrashLoopBackOff", restarts=2, last={"exitCode": 1}))
    cluster = Cluster(app.broken(broken), logs={("checkout-bbb-1", "web"): ("x" * 127 + "\n") * 1_000})

    evidence = cluster.evidence(DEPLOYMENT)

    assert [read.container for read in cluster.reads if isinstance(read, Log)] == ["web"]
    assert 64 * 1024 - 128 <= len(evidence.logs[0].text) <= 64 * 1024
    assert evidence.logs[0].truncated


def test_events_of_strangers_are_left_behind() -> None:
    app, other = App(), App("other")
    cluster = Cluster(app.healthy(), event(other.pod(), "BackOff", "not ours"), event(app.pod(), "Pulled", "ours"))

    evidence: Evidence = cluster.evidence(DEPLOYMENT)

    assert [item["message"] for item in evidence.objects if item["kind"] == "Event"] == ["ours"]


def test_all_nodes_are_read_only_for_a_pod_without_one() -> None:
    app = App()
    nodes = [node(f"node-{index}") for index in range(1, 9)]

    def listed(*pods: dict[str, object]) -> bool:
        cluster = Cluster(app.broken(*pods), nodes)
        cluster.evidence(DEPLOYMENT)
        return any(isinstance(read, List) and read.kind == "Node" for read in cluster.reads)

    assert listed(app.pending("0/8 nodes are available"))
    assert not listed(app.pod())


@pytest.mark.parametrize(
    "kind", ["ConfigMap", "Node", "Ingress", "CronJob", "Namespace", "Cluster", "HorizontalPodAutoscaler"]
)
def test_every_kind_of_target_ends(kind: str) -> None:
    target = ObjectKey("v1", "Cluster", "", "") if kind == "Cluster" else key(kind, "x")
    cluster = Cluster(App().healthy(), obj(kind, "x", spec={}))

    assert cluster.diagnose(target).reason


@pytest.mark.parametrize(("room", "kept"), [(100, "one\ntwo secret\nthree"), (12, "three"), (5, ""), (0, "")])
def test_a_log_is_cut_at_the_start_of_a_line(room: int, kept: str) -> None:
    """Half a line could hold half a secret."""
    gathering = Gathering(key("Pod", "web"), bounds=Bounds(log_bytes=room))
    gathering.found(Log("shop", "web"), "one\ntwo secret\nthree")

    (log,) = gathering.evidence(NOW).logs

    assert log.text == kept
    assert log.truncated == (kept != "one\ntwo secret\nthree")
