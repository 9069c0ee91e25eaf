"""Near misses and healthy twins of faults_changed: the same change where it does no harm, or is not the cause."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Outcome
from tests.unit.diagnosis.build import (
    App,
    Cluster,
    applied,
    container,
    endpoints,
    key,
    obj,
    owned,
    pod_spec,
    put,
    service,
    told,
    waiting,
    written,
)
from tests.unit.diagnosis.faults import DEPLOYMENT, refused
from tests.unit.diagnosis.faults_changed import (
    CLIENT,
    REFUSED,
    SELECTOR,
    SERVICE,
    client,
    daemon_set,
    ingress,
    new_reference,
    port_changed,
    unrecorded_config,
    value_changed,
    with_ingress,
    with_label,
)


def labels_changed_and_the_service_follows() -> Cluster:
    app = App(spec=pod_spec(container(image="registry.test/web:2")), was=pod_spec())
    parts = with_label(app, "tier", "api", "front")
    parts = [put(part, "metadata.labels.tier", "front") if part["kind"] == "Pod" else part for part in parts]
    svc = written(service("checkout", {"app": "checkout", "tier": "front"}), "kubectl-edit", 50, SELECTOR)
    return Cluster(parts, client().healthy(), svc, endpoints(svc, 2))


def port_changed_and_the_service_follows() -> Cluster:
    cluster = port_changed()
    cluster.objects = [
        put(item, "spec.ports.0.targetPort", 9090) if item["kind"] == "Service" else item for item in cluster.objects
    ]
    cluster.logs = {}
    return cluster


def selector_edited_and_nobody_minds() -> Cluster:
    svc = applied(service("checkout", {"app": "frontend"}), service("checkout", {"app": "checkout"}))
    svc = written(svc, "kubectl-patch", 60, SELECTOR)
    return Cluster(App().healthy(), client().healthy(), svc, endpoints(svc, 2))


def old_complaints_about_an_edited_service() -> Cluster:
    svc = written(service("checkout", {"app": "checkout"}), "kubectl-patch", 60, SELECTOR)
    return Cluster(App().healthy(), client().healthy(), svc, endpoints(svc, 2), logs=REFUSED)


def host_changed_to_one_that_exists() -> Cluster:
    was = pod_spec(container(env=[{"name": "API", "value": "http://old:80"}]))
    app = App("frontend", pod_spec(container(env=[{"name": "API", "value": "http://checkout:80"}])), was=was)
    svc = service("checkout", {"app": "checkout"})
    return Cluster(App().healthy(), app.healthy(), svc, endpoints(svc, 2))


def run_that_failed_before_one_that_succeeded() -> Cluster:
    cron = obj("CronJob", "report", spec={"schedule": "@daily"})
    gave_up = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "reached"}
    spec = pod_spec(container(envFrom=[{"configMapRef": {"name": "env"}}]), restartPolicy="Never")

    def run(name: str, age: float, **status: object) -> dict[str, object]:
        told = {"selector": {"matchLabels": {"run": name}}, "template": {"spec": spec}}
        return owned(obj("Job", name, age=age, spec=told, status=status), cron)

    failed, fine = run("report-1", 900, conditions=[gave_up]), run("report-2", 60, succeeded=1)
    state = {"terminated": {"exitCode": 1, "reason": "Error"}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "web", "restartCount": 0, "state": state}]}
    labels = {"run": "report-1"}
    left = owned(obj("Pod", "report-1-x", labels=labels, spec=spec | {"nodeName": "node-1"}, status=status), failed)
    config = written(obj("ConfigMap", "env", data={"A": "b"}), "kubectl-patch", 90, ("data", "A"))
    return Cluster(cron, failed, fine, left, config, logs={("report-1-x", "web"): "Error: A"})


HEALTHY = [
    (labels_changed_and_the_service_follows, SERVICE),
    (labels_changed_and_the_service_follows, DEPLOYMENT),
    (port_changed_and_the_service_follows, SERVICE),
    (port_changed_and_the_service_follows, CLIENT),
    (selector_edited_and_nobody_minds, CLIENT),
    (old_complaints_about_an_edited_service, CLIENT),
    (old_complaints_about_an_edited_service, SERVICE),
    (host_changed_to_one_that_exists, CLIENT),
    (lambda: daemon_set({"gpu": "yes"}, None), key("DaemonSet", "agent")),
    (lambda: daemon_set({}, {}), key("DaemonSet", "agent")),
    (lambda: with_ingress(ingress("checkout")), key("Ingress", "shop")),
    (run_that_failed_before_one_that_succeeded, key("CronJob", "report")),
    (run_that_failed_before_one_that_succeeded, key("Namespace", "shop")),
]


@pytest.mark.parametrize(("cluster", "target"), HEALTHY, ids=lambda item: getattr(item, "__name__", str(item)))
def test_the_same_change_without_harm(cluster: Callable[[], Cluster], target: ObjectKey) -> None:
    verdict = cluster().diagnose(target)

    assert (verdict.outcome, verdict.root_causes) == (Outcome.NO_FAULT_FOUND, ()), verdict.message


def test_a_service_that_was_edited_after_the_port_changed_is_at_fault_itself() -> None:
    cluster = port_changed()
    cluster.objects = [
        written(item, "kubectl-edit", 5, ("spec", "ports")) if item["kind"] == "Service" else item
        for item in cluster.objects
    ]

    assert told(cluster.diagnose(SERVICE).root_causes[0])[:2] == ("ServiceTargetPortWrong", "Service/checkout")


def test_slices_that_lag_behind_the_pods_do_not_hide_the_fault() -> None:
    """The readiness probe has just failed; the EndpointSlice still says ready."""
    server = App(spec=pod_spec(nodeSelector={"disk": "nvme"}), was=pod_spec())
    svc = service("checkout", {"app": "checkout"})
    message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    cluster = Cluster(server.broken(server.pending(message)), client().healthy(), svc, endpoints(svc, 1), logs=REFUSED)

    assert told(cluster.diagnose(CLIENT).root_causes[0])[0] == "NodeSelectorUnmatched"


def test_a_variable_that_the_container_sets_itself_is_not_missed_in_the_config_map() -> None:
    verdict = unrecorded_config(env=[{"name": "DB_HOST", "value": ""}]).diagnose(DEPLOYMENT)

    assert [cause.reason for cause in verdict.root_causes] == ["ApplicationCrash"]


def test_a_template_that_never_ran_may_have_asked_for_too_much() -> None:
    verdict = unrecorded_config(progress="ReplicaSetUpdated").diagnose(DEPLOYMENT)

    assert [cause.reason for cause in verdict.root_causes] == ["ApplicationCrash"]


def test_what_is_concluded_about_a_secret_is_no_certainty() -> None:
    assert unrecorded_config(kind="secretRef").diagnose(DEPLOYMENT).root_causes[0].confidence < 80


def test_a_config_map_that_was_edited_after_the_crash_is_not_blamed() -> None:
    cluster = value_changed()
    cluster.objects = [
        put(item, "metadata.managedFields.0.time", "2026-11-21T08:59:58Z") if item["kind"] == "ConfigMap" else item
        for item in cluster.objects
    ]

    assert [cause.reason for cause in cluster.diagnose(DEPLOYMENT).root_causes] == ["ApplicationCrash"]


def test_structured_cause_and_change_and_symptom_make_a_confident_verdict() -> None:
    for cluster in (value_changed, port_changed, lambda: new_reference(False)):
        assert cluster().diagnose(DEPLOYMENT).root_causes[0].confidence >= 80


def test_the_chain_says_that_old_pods_still_serve() -> None:
    bad = container(image="registry.test/web:9")
    app = App(spec=pod_spec(bad), was=pod_spec())
    broken = app.pod(waiting("ErrImagePull", "registry.test/web:9: not found"), index=9, age=5)

    chain = (
        Cluster(app.controllers(), app.pod(index=1, old=True), app.pod(index=2, old=True), broken)
        .diagnose(DEPLOYMENT)
        .root_causes[0]
        .chain
    )

    assert [link.object.kind for link in chain] == ["Deployment", "Pod", "Deployment"]
    assert chain[0].message == "a new pod does not come up; 2 old pods still serve"


def test_an_account_that_a_revision_named_and_one_that_was_deleted() -> None:
    message = 'error looking up service account shop/robot: serviceaccount "robot" not found'
    cluster = refused(message)()

    assert told(cluster.diagnose(DEPLOYMENT).root_causes[0])[1] == "ServiceAccount/robot"

    app = App(spec=pod_spec(serviceAccountName="robot"), was=pod_spec())
    assert app.old
    cluster.objects[:2] = [put(app.deployment, "status.readyReplicas", 0), put(app.new, "status.replicas", 0), app.old]
    cause = cluster.diagnose(DEPLOYMENT).root_causes[0]

    assert told(cause)[1:] == ("Deployment/checkout", "spec.template.spec.serviceAccountName")
