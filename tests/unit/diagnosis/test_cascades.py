"""One fault, several hops away, with a decoy at every hop."""

from __future__ import annotations

from typing import Any

import msgspec

from kubeagent.diagnosis import judge
from kubeagent.protocol.evidence import Refusal
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Outcome, Verdict
from tests.unit.diagnosis.build import (
    App,
    Cluster,
    applied,
    container,
    crashing,
    ended,
    endpoints,
    event,
    key,
    node,
    obj,
    pod_spec,
    put,
    running,
    service,
    told,
    unscheduled,
    waiting,
    written,
)


def calling(name: str, other: str) -> App:
    return App(name, pod_spec(container(env=[{"name": "UPSTREAM", "value": f"http://{other}:80"}])))


def front(name: str, ready: int = 0) -> list[dict[str, Any]]:
    svc = service(name, {"app": name})
    svc["spec"]["clusterIP"] = f"10.96.0.{len(name)}"
    return [svc, endpoints(svc, ready)]


def database() -> tuple[list[dict[str, Any]], dict[tuple[str, str], str]]:
    """frontend (ready, complains) -> api (crashing) -> db (pending) -> claim -> class that does not exist."""
    labels = {"app": "db"}
    spec = pod_spec(volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}])
    template = {"metadata": {"name": "data"}, "spec": {"storageClassName": "fast-ssd"}}
    db = obj(
        "StatefulSet",
        "db",
        spec={
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            "volumeClaimTemplates": [template],
        },
        status={"replicas": 1, "readyReplicas": 0},
    )
    claim = obj(
        "PersistentVolumeClaim",
        "data-db-0",
        labels=labels,
        spec={"storageClassName": "fast-ssd"},
        status={"phase": "Pending"},
    )
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    frontend, api = calling("frontend", "api"), calling("api", "db")
    parts = [db, unscheduled("db-0", db, spec, message, labels), claim, *front("db"), *front("api")]
    parts += [event(claim, "ProvisioningFailed", 'storageclass.storage.k8s.io "fast-ssd" not found')]
    parts += [*frontend.healthy(), *api.broken(api.pod(crashing()))]
    logs = {
        ("frontend-bbb-1", "web"): "upstream http://api:80/ failed: connection refused",
        ("api-bbb-1", "web"): "panic: dial tcp db:80: connect: connection refused",
    }
    return parts, logs


def test_a_storage_class_four_hops_away() -> None:
    parts, logs = database()

    verdict = Cluster(*parts, logs=logs).diagnose(key("Deployment", "frontend"))

    assert [told(cause) for cause in verdict.root_causes] == [
        (
            "StorageClassNotFound",
            "StatefulSet/db",
            "spec.volumeClaimTemplates[name=data].spec.storageClassName",
        )
    ], verdict.message
    kinds = [link.object.kind for link in verdict.root_causes[0].chain]
    assert kinds[0] == "Deployment" and kinds[-1] == "StatefulSet" and "PersistentVolumeClaim" in kinds
    assert verdict.alternatives == ()


def test_the_image_of_a_dependency() -> None:
    client, api = calling("checkout", "api"), App("api", pod_spec(container(image="registry.test/api:9")))
    broken = api.pod(waiting("ErrImagePull", "registry.test/api:9: not found"))
    logs = {("checkout-bbb-1", "web"): "wget: can't connect to remote host (10.96.0.3): Connection refused"}

    verdict = Cluster(client.broken(client.pod(crashing())), api.broken(broken), front("api"), logs=logs).diagnose(
        key("Deployment", "checkout")
    )

    assert [told(cause)[:2] for cause in verdict.root_causes] == [("ImageNotFound", "Deployment/api")]


def test_a_complaint_that_names_nobody_is_traced_by_the_configuration() -> None:
    client, db = calling("checkout", "db"), App("db", replicas=0)
    logs = {("checkout-bbb-1", "web"): "urlopen error [Errno 111] Connection refused"}

    verdict = Cluster(client.healthy(), db.controllers(), front("db"), logs=logs).diagnose(
        key("Deployment", "checkout")
    )

    assert [cause.reason for cause in verdict.root_causes] == ["ScaledToZero"]


def test_a_port_that_nobody_declares_is_known_by_the_change_and_the_complaint() -> None:
    bare = {"name": "web", "image": "registry.test/web:1.0"}
    app, client = App(spec=pod_spec(bare)), calling("frontend", "checkout")
    path = ("spec", "ports", 'k:{"port":80,"protocol":"TCP"}', "targetPort")
    svc = written(service("checkout", {"app": "checkout"}, target=9999), "kubectl-patch", 60, path)
    logs = {("frontend-bbb-1", "web"): "GET http://checkout:80/ failed: connection refused"}

    verdict = Cluster(app.healthy(), client.healthy(), svc, endpoints(svc, 2), logs=logs).diagnose(
        key("Service", "checkout")
    )

    assert [told(cause)[0] for cause in verdict.root_causes] == ["ServiceTargetPortWrong"]


def test_init_killed_for_memory() -> None:
    def limited(limit: str) -> dict[str, Any]:
        return pod_spec(container(resources={"limits": {"memory": limit}}))

    app = App(spec=limited("4Mi"), was=limited("64Mi"))
    message = (
        "runc create failed: unable to start container process: container init was OOM-killed (memory limit too low?)"
    )

    verdict = Cluster(app.broken(app.pod(waiting("RunContainerError", message)))).diagnose(
        key("Deployment", "checkout")
    )

    assert [cause.reason for cause in verdict.root_causes] == ["MemoryLimitLowered"]


def test_a_restart_after_the_secret_went_is_not_the_restarts_fault() -> None:
    """The reference was changed two revisions ago and worked; the newest revision only restarted."""

    def spec(secret: str) -> dict[str, Any]:
        reference = {"name": "P", "valueFrom": {"secretKeyRef": {"name": secret, "key": "P"}}}
        return pod_spec(container(env=[reference]))

    app = App(spec=spec("new"), was=spec("new"))
    assert app.old is not None
    first = put(app.old, "metadata.name", "checkout-000")
    first = put(
        put(first, "metadata.uid", "uid-first"),
        "metadata.annotations",
        {"deployment.kubernetes.io/revision": "0"},
    )
    first = put(first, "spec.template.spec", spec("old"))
    broken = app.pod(waiting("CreateContainerConfigError", 'secret "new" not found'))

    verdict = Cluster(app.broken(broken), first).diagnose(key("Deployment", "checkout"))

    assert [told(cause)[:2] for cause in verdict.root_causes] == [("SecretMissing", "Secret/new")]


def test_a_config_map_that_was_replaced_under_a_running_pod() -> None:
    """The pod is old; its container restarted after the key went."""
    reference = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "A"}}}
    app = App(spec=pod_spec(container(env=[reference])))
    config = written(obj("ConfigMap", "env", data={"B": "2"}), "kubectl-edit", 30, ("data", "B"))
    message = "couldn't find key A in ConfigMap shop/env"
    broken = app.pod(waiting("CreateContainerConfigError", message, restarts=1, last=ended()), age=50_000)

    cause = Cluster(app.broken(broken), config).diagnose(key("Deployment", "checkout")).root_causes[0]

    assert told(cause) == ("ConfigMapKeyMissing", "ConfigMap/env", "data.A")
    assert cause.confidence == 95


def test_one_cordoned_node_keeps_two_workloads_down_and_is_one_root() -> None:
    message = "0/1 nodes are available: 1 node(s) were unschedulable."
    apps = [App("left"), App("right")]
    down = [part for app in apps for part in app.broken(app.pending(message))]

    verdict = Cluster(down, node(unschedulable=True)).diagnose(key("Namespace", "shop"))

    assert [cause.reason for cause in verdict.root_causes] == ["NodeCordoned"]


def test_a_rollback_in_progress_is_not_blamed_on_the_old_revision() -> None:
    good = pod_spec(container(image="registry.test/web:2"))
    app = App(spec=good, was=pod_spec(container(image="registry.test/bad:1")))
    stuck = app.pod(waiting("ImagePullBackOff", "registry.test/bad:1: not found"), old=True, index=5)
    deployment = put(app.deployment, "status.updatedReplicas", 1)

    verdict = Cluster([deployment, *app.controllers()[1:]], app.pod(), app.pod(index=2), stuck).diagnose(
        key("Deployment", "checkout")
    )

    assert verdict.outcome is Outcome.NO_FAULT_FOUND, verdict.message


def test_crashing_for_a_config_map_that_was_edited() -> None:
    app = App(spec=pod_spec(container(envFrom=[{"configMapRef": {"name": "env"}}])))
    config = applied(obj("ConfigMap", "env", data={"MODE": "broken"}), obj("ConfigMap", "env", data={"MODE": "live"}))
    config = written(config, "kubectl-edit", 120, ("data", "MODE"))

    verdict: Verdict = Cluster(
        app.broken(app.pod(crashing())), config, logs={("checkout-bbb-1", "web"): "fatal: unsupported mode"}
    ).diagnose(key("Deployment", "checkout"))

    assert told(verdict.root_causes[0]) == ("ConfigMapChanged", "ConfigMap/env", "data")
    assert verdict.root_causes[0].confidence <= 75
    assert running()["ready"] is True


def edited_selector(*more: Any) -> Cluster:
    """Created by the API, so no last-applied; named unlike its workload; no label matches."""
    app = App("web-x7f")
    svc = written(service("front-9", {"app": "nope"}), "kubectl-patch", 60, ("spec", "selector", "app"))
    return Cluster(app.healthy(), svc, endpoints(svc, 0), *more)


def test_an_edited_selector_is_found_though_nothing_says_what_was_meant() -> None:
    for target in (key("Service", "front-9"), key("Deployment", "web-x7f")):
        verdict = edited_selector().diagnose(target)
        assert [told(cause) for cause in verdict.root_causes] == [
            ("ServiceSelectorMismatch", "Service/front-9", "spec.selector")
        ], verdict.message


def test_an_edited_selector_among_many_workloads() -> None:
    crowd = [part for index in range(4) for part in App(f"app-{index}").healthy()]

    verdict = edited_selector(crowd).diagnose(key("Service", "front-9"))

    assert [cause.reason for cause in verdict.root_causes] == ["ServiceSelectorMismatch"]
    assert edited_selector(crowd).diagnose(key("Deployment", "app-1")).outcome is Outcome.NO_FAULT_FOUND


def test_the_target_may_leave_out_its_api_version() -> None:
    cluster = edited_selector()

    assert cluster.diagnose(ObjectKey("", "Deployment", "shop", "web-x7f")).root_causes
    assert cluster.diagnose(ObjectKey("v1", "Node", "shop", "node-1")).outcome is Outcome.NO_FAULT_FOUND


def test_a_namespace_that_does_not_exist() -> None:
    assert Cluster().diagnose(ObjectKey("v1", "Namespace", "", "nowhere")).reason == "TargetNotFound"


def test_a_node_that_is_not_ready_repels_by_a_taint_of_its_own() -> None:
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    message = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }."
    app = App()

    verdict = Cluster(app.broken(app.pending(message)), node(ready="False", taints=[taint])).diagnose(
        key("Deployment", "checkout")
    )

    assert [told(cause) for cause in verdict.root_causes] == [
        ("NodeNotReady", "Node/node-1", "status.conditions[type=Ready]")
    ]


def test_unreadable_events_do_not_make_a_healthy_target_doubtful() -> None:
    evidence = Cluster(App().healthy()).evidence(key("Deployment", "checkout"))
    events = Refusal(object=ObjectKey("v1", "Event", "shop", ""), reason="Forbidden")
    pods = Refusal(object=ObjectKey("v1", "Pod", "shop", ""), reason="Forbidden")

    assert judge(msgspec.structs.replace(evidence, unreadable=(events,))).outcome is Outcome.NO_FAULT_FOUND
    assert judge(msgspec.structs.replace(evidence, unreadable=(pods,))).reason == "EvidenceIncomplete"


def test_a_host_that_a_config_map_names() -> None:
    reference = {"name": "DB", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "DB"}}}
    client, db = App(spec=pod_spec(container(env=[reference]))), App("db", replicas=0)
    logs = {("checkout-bbb-1", "web"): "connection refused"}

    verdict = Cluster(
        client.healthy(),
        db.controllers(),
        front("db"),
        obj("ConfigMap", "env", data={"DB": "db:80"}),
        logs=logs,
    ).diagnose(key("Deployment", "checkout"))

    assert [told(cause)[:2] for cause in verdict.root_causes] == [("ScaledToZero", "Deployment/db")]


def test_a_missing_service_that_a_ready_client_was_told_to_use() -> None:
    client = calling("checkout", "orders")
    logs = {("checkout-bbb-1", "web"): "wget: bad address 'orders:80'"}

    verdict = Cluster(client.healthy(), logs=logs).diagnose(key("Deployment", "checkout"))

    assert [told(cause)[:2] for cause in verdict.root_causes] == [("ServiceNotFound", "Service/orders")]


def test_a_client_that_says_only_that_it_failed() -> None:
    client = App("caller", pod_spec({"name": "c", "image": "i", "command": ["sh", "-c", "wget -q http://front-9:80/"]}))
    server = App("server-3", replicas=0)
    svc = service("front-9", {"app": "server-3"})
    logs = {("caller-bbb-1", "c"): "error: calling http://front-9:80/ failed\n" * 3}

    verdict = Cluster(client.healthy(), server.controllers(), svc, endpoints(svc, 0), logs=logs).diagnose(
        key("Deployment", "caller")
    )

    assert [told(cause) for cause in verdict.root_causes] == [("ScaledToZero", "Deployment/server-3", "spec.replicas")]
