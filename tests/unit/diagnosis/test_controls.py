"""Healthy and half-healthy clusters: where the engine must hold its tongue, or say that it is too early."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Outcome
from tests.unit.diagnosis.build import (
    NOW,
    App,
    Cluster,
    at,
    container,
    crashing,
    ended,
    endpoints,
    event,
    key,
    node,
    obj,
    pod,
    pod_spec,
    put,
    running,
    service,
    waiting,
    written,
)

DEPLOYMENT = key("Deployment", "checkout")
PROBE = {"httpGet": {"path": "/", "port": 8080}}


def healthy() -> Cluster:
    app = App()
    svc = service("checkout", {"app": "checkout"})
    return Cluster(app.healthy(), svc, endpoints(svc, 2))


def rolling() -> Cluster:
    app = App(spec=pod_spec(container(image="registry.test/web:2", readinessProbe=PROBE)), was=pod_spec())
    starting = app.pod(running(ready=False, since=3), index=8, age=5)
    creating = app.pod(waiting("ContainerCreating"), index=9, age=1, phase="Pending")
    unhealthy = (
        'Readiness probe failed: Get "http://10.0.0.7:8080/": dial tcp 10.0.0.7:8080: connect: connection refused'
    )
    deployment = put(put(app.deployment, "status.updatedReplicas", 1), "status.replicas", 3)
    return Cluster(
        [deployment, *app.controllers()[1:]],
        app.pod(index=1, old=True),
        app.pod(index=2, old=True),
        starting,
        creating,
        event(starting, "Unhealthy", unhealthy, part="web", ago=1),
    )


def rolling_away_from_broken() -> Cluster:
    app = App(
        spec=pod_spec(container(image="registry.test/web:2")),
        was=pod_spec(container(image="registry.test/bad:1")),
    )
    broken = app.pod(waiting("ImagePullBackOff", "Back-off pulling image"), old=True, index=5)
    return Cluster(app.healthy(), broken, event(broken, "BackOff", "Back-off pulling image", kind="Normal"))


def retried_job() -> Cluster:
    labels = {"job-name": "migrate"}
    done = [{"type": "Complete", "status": "True"}]
    job = obj(
        "Job",
        "migrate",
        spec={"selector": {"matchLabels": labels}, "template": {"spec": pod_spec()}},
        status={"failed": 1, "succeeded": 1, "conditions": done},
    )
    spec = pod_spec() | {"restartPolicy": "Never"}
    failed = {"name": "web", "ready": False, "restartCount": 0, "state": {"terminated": ended()}}
    good = {"name": "web", "ready": False, "restartCount": 0, "state": {"terminated": ended(0, "Completed")}}
    return Cluster(
        job,
        pod("migrate-1", job, spec, failed, labels=labels, phase="Failed"),
        pod("migrate-2", job, spec, good, labels=labels, phase="Succeeded"),
        logs={("migrate-1", "web"): "error: connection refused db:5432"},
    )


def suspended() -> Cluster:
    return Cluster(
        obj(
            "CronJob",
            "nightly",
            spec={
                "suspend": True,
                "schedule": "0 3 * * *",
                "jobTemplate": {"spec": {"template": {"spec": pod_spec()}}},
            },
        )
    )


def scaled_to_zero() -> Cluster:
    app = App(replicas=0)
    svc = service("checkout", {"app": "checkout"})
    return Cluster(app.controllers(), svc, endpoints(svc, 0))


def scaled_to_zero_named_but_not_missed() -> Cluster:
    app = App(replicas=0)
    svc = service("checkout", {"app": "checkout"})
    other = App("frontend", pod_spec(container(env=[{"name": "CHECKOUT", "value": "checkout:80"}])))
    return Cluster(
        app.controllers(),
        other.healthy(),
        svc,
        endpoints(svc, 0),
        logs={("frontend-bbb-1", "web"): "serving on :8080"},
    )


def unused_config() -> Cluster:
    return Cluster(App().healthy(), obj("ConfigMap", "leftover", data={"A": "1"}))


def stale_warnings() -> Cluster:
    app = App()
    pods = [app.pod(index=1), app.pod(index=2)]
    old = put(pods[0], "metadata.uid", "uid-of-an-earlier-pod")
    return Cluster(
        app.controllers(),
        pods,
        event(old, "FailedMount", 'MountVolume.SetUp failed for volume "x" : secret "gone" not found', ago=3000),
        event(pods[1], "Unhealthy", "Liveness probe failed: timeout", ago=3000, part="web"),
        event(
            app.new,
            "FailedCreate",
            "Error creating: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
            ago=3000,
        ),
    )


def old_restart() -> Cluster:
    app = App()
    return Cluster(
        app.controllers(),
        app.pod(running(restarts=4, since=2000, last=ended(1, ago=2000)), index=1),
        app.pod(index=2),
    )


def chronic_lint() -> Cluster:
    """A Service that never selected anything, an undeclared targetPort that works, a cordoned spare node."""
    app = App()
    stray = service("legacy", {"app": "checkout", "tier": "old"})
    odd = service("checkout", {"app": "checkout"}, target=8081)
    spare = node("spare", unschedulable=True)
    return Cluster(app.healthy(), stray, odd, endpoints(odd, 2), endpoints(stray, 0), node(), spare)


def kept_failed_pods() -> Cluster:
    app = App()
    gone = put(app.pod(index=7, phase="Failed"), "status.reason", "Evicted")
    gone = put(
        put(gone, "status.message", "The node was low on resource: ephemeral-storage."),
        "metadata.creationTimestamp",
        at(9000),
    )
    return Cluster(app.healthy(), gone)


def complaint_of_yesterday() -> Cluster:
    """A ready client that could not reach its database while both were starting."""
    app = App(spec=pod_spec(container(env=[{"name": "DB", "value": "db:5432"}])))
    db = App("db")
    svc = service("db", {"app": "db"}, port=5432)
    return Cluster(
        app.healthy(),
        db.healthy(),
        svc,
        endpoints(svc, 2),
        logs={("checkout-bbb-1", "web"): "dial tcp: db:5432: connection refused\nconnected"},
    )


def grumbling_but_well() -> Cluster:
    """A ready pod that cannot reach some optional sidecar nobody configured."""
    return Cluster(App().healthy(), logs={("checkout-bbb-1", "web"): "warn: dial udp: lookup statsd: no such host"})


def completed_pod() -> Cluster:
    done = {"name": "web", "ready": False, "restartCount": 0, "state": {"terminated": ended(0, "Completed")}}
    return Cluster(pod("once", None, pod_spec() | {"restartPolicy": "Never"}, done, phase="Succeeded"))


def waiting_for_consumer() -> Cluster:
    claim = obj("PersistentVolumeClaim", "data", spec={"storageClassName": "local"}, status={"phase": "Pending"})
    message = "waiting for first consumer to be created before binding"
    return Cluster(claim, obj("StorageClass", "local"), event(claim, "WaitForFirstConsumer", message, kind="Normal"))


CONTROLS = [
    (healthy, DEPLOYMENT),
    (healthy, key("Service", "checkout")),
    (healthy, key("Pod", "checkout-bbb-1")),
    (healthy, key("Node", "node-1")),
    (rolling, DEPLOYMENT),
    (rolling_away_from_broken, DEPLOYMENT),
    (retried_job, key("Job", "migrate")),
    (suspended, key("CronJob", "nightly")),
    (scaled_to_zero, DEPLOYMENT),
    (scaled_to_zero_named_but_not_missed, DEPLOYMENT),
    (scaled_to_zero_named_but_not_missed, key("Deployment", "frontend")),
    (unused_config, key("ConfigMap", "leftover")),
    (unused_config, DEPLOYMENT),
    (unused_config, ObjectKey("v1", "Namespace", "", "shop")),
    (stale_warnings, DEPLOYMENT),
    (old_restart, DEPLOYMENT),
    (chronic_lint, DEPLOYMENT),
    (chronic_lint, key("Node", "spare")),
    (kept_failed_pods, DEPLOYMENT),
    (complaint_of_yesterday, DEPLOYMENT),
    (grumbling_but_well, DEPLOYMENT),
    (completed_pod, key("Pod", "once")),
    (waiting_for_consumer, key("PersistentVolumeClaim", "data")),
]


@pytest.mark.parametrize(("cluster", "target"), CONTROLS, ids=lambda item: getattr(item, "__name__", str(item)))
def test_no_fault(cluster: Callable[[], Cluster], target: ObjectKey) -> None:
    verdict = cluster().diagnose(target)

    assert (verdict.outcome, verdict.root_causes) == (Outcome.NO_FAULT_FOUND, ()), verdict.message


def test_a_rollout_that_keeps_its_promise_says_so() -> None:
    assert rolling().diagnose(DEPLOYMENT).reason == "RolloutInProgress"


def starting() -> Cluster:
    app = App()
    return Cluster(app.broken(app.pod(waiting("ContainerCreating"), age=2, phase="Pending")))


def fell_once() -> Cluster:
    app = App()
    return Cluster(app.broken(app.pod(running(ready=False, restarts=1, since=2, last=ended(ago=3)), age=10)))


def not_seen_yet() -> Cluster:
    app = App()
    return Cluster([put(app.deployment, "metadata.generation", 4), *app.healthy()[1:]])


@pytest.mark.parametrize("cluster", [starting, fell_once, not_seen_yet])
def test_too_early(cluster: Callable[[], Cluster]) -> None:
    verdict = cluster().diagnose(DEPLOYMENT)

    assert (verdict.outcome, verdict.reason) == (Outcome.UNDETERMINED, "StillProgressing"), verdict.message


def test_symptoms_without_a_known_cause_are_named() -> None:
    app = App(spec=pod_spec(container(readinessProbe=PROBE)))
    silent = app.pod(running(ready=False, since=2000), age=2000)

    verdict = Cluster(app.broken(silent)).diagnose(DEPLOYMENT)

    assert (verdict.outcome, verdict.reason) == (Outcome.UNDETERMINED, "NoExplanation")
    assert "0 of 2 pods ready" in verdict.message


def test_a_target_that_does_not_exist_is_an_answer() -> None:
    verdict = healthy().diagnose(key("Deployment", "chekout"))

    assert (verdict.outcome, verdict.reason) == (Outcome.UNDETERMINED, "TargetNotFound")
    assert "did you mean checkout?" in verdict.message


def test_what_may_not_be_read_is_said_and_not_guessed() -> None:
    verdict = healthy().diagnose(DEPLOYMENT, namespaces=frozenset({"elsewhere"}))

    assert (verdict.outcome, verdict.reason) == (Outcome.UNDETERMINED, "EvidenceIncomplete")
    assert verdict.unreadable[0].reason == "OutOfScope"


def test_two_independent_faults_are_two_root_causes() -> None:
    app = App(spec=pod_spec(container(), container("side", "registry.test/side:0")))
    secret = waiting("CreateContainerConfigError", 'secret "checkout-db" not found')
    pull = waiting("ErrImagePull", "registry.test/side:0: not found", name="side")

    verdict = Cluster(app.broken(app.pod(secret, pull, age=9))).diagnose(DEPLOYMENT)

    assert {cause.reason for cause in verdict.root_causes} == {"SecretMissing", "ImageNotFound"}


def test_one_fault_with_many_victims_is_one_root_cause() -> None:
    app = App(replicas=12)
    pods = [app.pod(waiting("CreateContainerConfigError", 'secret "s" not found'), index=index) for index in range(12)]

    verdict = Cluster(app.broken(*pods)).diagnose(DEPLOYMENT)

    assert [cause.reason for cause in verdict.root_causes] == ["SecretMissing"]
    assert len(verdict.root_causes[0].evidence) <= 20


def test_a_healthy_dependency_does_not_take_the_blame() -> None:
    app = App(spec=pod_spec(container(env=[{"name": "DB", "value": "db:5432"}])))
    db, svc = App("db"), service("db", {"app": "db"}, port=5432)
    log = {("checkout-bbb-1", "web"): "dial tcp db:5432: connection refused\npanic: bad plan\n"}

    verdict = Cluster(app.broken(app.pod(crashing())), db.healthy(), svc, endpoints(svc, 2), logs=log).diagnose(
        DEPLOYMENT
    )

    assert verdict.root_causes[0].reason == "ApplicationCrash"
    assert verdict.root_causes[0].confidence < 70


def test_a_change_outranks_what_was_always_so() -> None:
    """A chronic tainted node beside a node that was cordoned a minute ago."""
    app = App()
    tainted = node("node-2", taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}])
    cordoned = written(node(unschedulable=True), "kubectl-cordon", 60, ("spec", "unschedulable"))
    message = "0/2 nodes are available: 1 node(s) had untolerated taint {team: x}, 1 node(s) were unschedulable."

    verdict = Cluster(app.broken(app.pending(message)), tainted, cordoned).diagnose(DEPLOYMENT)

    assert verdict.root_causes[0].reason == "NodeCordoned"
    assert [rival.reason for rival in verdict.alternatives] == ["NodeTainted"]
    assert NOW.year == 2026
