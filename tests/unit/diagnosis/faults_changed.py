"""Faults of which two objects could be blamed: the one that was changed is to be named, and who changed it."""

from __future__ import annotations

from typing import Any

from tests.unit.diagnosis.build import (
    App,
    Cluster,
    Object,
    applied,
    container,
    crashing,
    endpoints,
    event,
    key,
    node,
    obj,
    owned,
    pod,
    pod_spec,
    put,
    running,
    service,
    waiting,
    written,
)
from tests.unit.diagnosis.faults import DEPLOYMENT, WEB, Fault, refused
from tests.unit.diagnosis.faults_more import config_waiting, since_revision

CLIENT = key("Deployment", "frontend")
SERVICE = key("Service", "checkout")
SELECTOR = ("spec", "selector")


def client(**settings: str) -> App:
    env = [{"name": name, "value": value} for name, value in (settings or {"API": "http://checkout:80"}).items()]
    return App("frontend", pod_spec(container(env=env)))


def complaining(line: str) -> dict[tuple[str, str], str]:
    return {("frontend-bbb-1", "web"): line, ("frontend-bbb-2", "web"): line}


REFUSED = complaining("GET http://checkout:80/ failed: connection refused")


def with_label(app: App, name: str, old: str, new: str | None) -> list[Object]:
    """A healthy Deployment whose newest revision changed a label of its pods."""
    assert app.old is not None
    before = put(put(app.old, f"spec.template.metadata.labels.{name}", old), f"metadata.labels.{name}", old)
    after, deployment = app.new, put(app.deployment, "spec.selector", {"matchLabels": dict(app.labels)})
    if new:
        after = put(after, f"spec.template.metadata.labels.{name}", new)
        deployment = put(deployment, f"spec.template.metadata.labels.{name}", new)
    pods = [put(app.pod(index=at), "metadata.labels", dict(app.labels)) for at in (1, 2)]
    return [deployment, before, after, *pods]


def label_changed(new: str | None, selector: dict[str, str]) -> Cluster:
    app = App(spec=pod_spec(container(image="registry.test/web:2")), was=pod_spec())
    svc = service("checkout", selector)
    return Cluster(with_label(app, "tier", "api", new), client().healthy(), svc, endpoints(svc, 0), logs=REFUSED)


def port_changed() -> Cluster:
    moved = container(ports=[{"containerPort": 9090, "name": "http"}])
    app = App(spec=pod_spec(moved), was=pod_spec())
    svc = service("checkout", {"app": "checkout"})
    return Cluster(app.healthy(), client().healthy(), svc, endpoints(svc, 2), logs=REFUSED)


def port_renamed() -> Cluster:
    moved = container(ports=[{"containerPort": 8080, "name": "web"}])
    app = App(spec=pod_spec(moved), was=pod_spec())
    svc = service("checkout", {"app": "checkout"}, target="http")
    return Cluster(app.healthy(), client().healthy(), svc, endpoints(svc, 2), logs=REFUSED)


def service_renumbered() -> Cluster:
    svc = applied(service("checkout", {"app": "checkout"}, port=8088), service("checkout", {"app": "checkout"}))
    svc = written(svc, "kubectl-edit", 60, ("spec", "ports", 'k:{"port":8088,"protocol":"TCP"}', "port"))
    return Cluster(App().healthy(), client().healthy(), svc, endpoints(svc, 2), logs=REFUSED)


def selector_leads_elsewhere() -> Cluster:
    svc = applied(service("checkout", {"app": "frontend"}), service("checkout", {"app": "checkout"}))
    svc = written(svc, "kubectl-patch", 60, SELECTOR)
    return Cluster(App().healthy(), client().healthy(), svc, endpoints(svc, 2), logs=REFUSED)


def selector_replaced() -> Cluster:
    """Applied anew with other keys: only the target port still tells whom it was meant for."""
    svc = written(service("checkout-api", {"run": "x"}), "kubectl-client-side-apply", 60, SELECTOR)
    return Cluster(App().healthy(), client(API="-").healthy(), svc, endpoints(svc, 0))


def host_changed_in_env() -> Cluster:
    was = pod_spec(container(env=[{"name": "API", "value": "http://checkout:80"}]))
    now = pod_spec(container(env=[{"name": "API", "value": "http://chekout:80"}]))
    svc = service("checkout", {"app": "checkout"})
    logs = complaining("dial tcp: lookup chekout on 10.96.0.10:53: no such host")
    return Cluster(App().healthy(), App("frontend", now, was=was).healthy(), svc, endpoints(svc, 2), logs=logs)


def host_changed_in_config() -> Cluster:
    app = App("frontend", pod_spec(container(envFrom=[{"configMapRef": {"name": "settings"}}])))
    config = applied(
        obj("ConfigMap", "settings", data={"HOST": "chekout"}), obj("ConfigMap", "settings", data={"HOST": "a"})
    )
    config = written(config, "kubectl-edit", 240, ("data", "HOST"))
    return Cluster(app.healthy(), config, logs=complaining("wget: bad address 'chekout'"))


def ingress(name: str, port: int = 80, **rest: Any) -> Object:
    backend = {"service": {"name": name, "port": {"number": port}}}
    rules = [{"host": "shop.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    return obj("Ingress", "shop", spec={"rules": rules}, **rest)


def with_ingress(made: Object) -> Cluster:
    svc = service("checkout", {"app": "checkout"})
    return Cluster(App().healthy(), svc, endpoints(svc, 2), made)


def daemon_set(now: dict[str, str], was: dict[str, str] | None) -> Cluster:
    labels = {"app": "agent"}
    templates = [
        {"metadata": {"labels": labels}, "spec": pod_spec(nodeSelector=wanted)}
        for wanted in (was, now)
        if wanted is not None
    ]
    made = obj("DaemonSet", "agent", spec={"selector": {"matchLabels": labels}, "template": templates[-1]})
    made = put(made, "status", {"desiredNumberScheduled": 0, "numberReady": 0, "observedGeneration": 1})
    kept = [
        owned(
            obj("ControllerRevision", f"agent-{at}", labels=labels, revision=at, data={"spec": {"template": one}}), made
        )
        for at, one in enumerate(templates, start=1)
    ]
    return Cluster(made, kept, node())


def cron_job_env() -> Cluster:
    def spec(*names: str) -> Object:
        return pod_spec(container(env=[{"name": name, "value": "x"} for name in names]), restartPolicy="Never")

    def run(name: str, one: Object) -> Object:
        return {"selector": {"matchLabels": {"run": name}}, "template": {"spec": one}}

    gave_up = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached it"}
    template = {"spec": {"backoffLimit": 0, "template": {"spec": spec("MODE")}}}
    cron = obj("CronJob", "report", spec={"schedule": "@daily", "jobTemplate": template})
    runs = [
        owned(obj("Job", name, age=age, spec=run(name, one), status=status), cron)
        for name, age, one, status in (
            ("report-1", 900, spec("MODE", "TOKEN"), {"succeeded": 1}),
            ("report-2", 60, spec("MODE"), {"conditions": [gave_up]}),
        )
    ]
    ended = {"exitCode": 1, "reason": "Error"}
    status = {"name": "web", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
    failed = pod("report-2-x", runs[1], spec("MODE"), status, phase="Failed", age=50, labels={"run": "report-2"})
    return Cluster(cron, runs, failed, logs={("report-2-x", "web"): "TOKEN: parameter not set"})


def unrecorded_config(
    line: str = "KeyError: 'DB_HOST'", kind: str = "configMapRef", progress: str = "NewReplicaSetAvailable", **more: Any
) -> Cluster:
    """Made by `kubectl create`: a key that is taken away leaves no trace in it."""
    app = App(spec=pod_spec(container(envFrom=[{kind: {"name": "env"}}], **more)))
    conditions = [{"type": "Progressing", "status": "True", "reason": progress}]
    parts = app.broken(app.pod(crashing(), age=30))
    parts[0] = put(parts[0], "status.conditions", conditions)
    config = written(obj("ConfigMap", "env", data={"DB_PORT": "1"}), "kubectl-create", 3600, ("data", "DB_PORT"))
    return Cluster(parts, config, logs={("checkout-bbb-1", "web"): f"starting\n{line}\n"})


def value_changed() -> Cluster:
    app = App(spec=pod_spec(container(envFrom=[{"configMapRef": {"name": "env"}}])))
    config = applied(
        obj("ConfigMap", "env", data={"WORKERS": "ten", "MODE": "live"}),
        obj("ConfigMap", "env", data={"WORKERS": "10", "MODE": "live"}),
    )
    config = written(config, "kubectl-patch", 300, ("data", "WORKERS"))
    log = "ValueError: WORKERS: invalid literal for int() with base 10: 'ten'"
    return Cluster(app.broken(app.pod(crashing(), age=30)), config, logs={("checkout-bbb-1", "web"): log})


def cordoned_and_selected() -> Cluster:
    """The scheduler stops at the cordon and does not say that no node has the label."""
    app = App(spec=pod_spec(nodeSelector={"disk": "nvme"}), was=pod_spec())
    message = "0/1 nodes are available: 1 node(s) were unschedulable."
    return Cluster(app.broken(app.pending(message)), node(unschedulable=True))


def limit_range(age: float, message: str) -> Cluster:
    limits = [{"type": "Container", "max": {"memory": "4Mi"}, "default": {"memory": "4Mi"}}]
    made = obj("LimitRange", "bounds", age=age, spec={"limits": limits})
    cluster = refused(message)()
    cluster.objects.append(made)
    return cluster


def probe_asks_a_service() -> Cluster:
    command = ["sh", "-c", "wget -q -O- http://checkout:80/"]
    app = App("frontend", pod_spec(container(readinessProbe={"exec": {"command": command}})))
    unready = app.pod(running(ready=False, since=300))
    server = App(spec=pod_spec(nodeSelector={"disk": "nvme"}), was=pod_spec())
    svc = service("checkout", {"app": "checkout"})
    message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    parts = server.broken(server.pending(message))
    failed = event(unready, "Unhealthy", "Readiness probe failed: ", part="web", count=9)
    return Cluster(app.broken(unready), failed, parts, svc, endpoints(svc, 0), node())


def new_reference(has_run: bool) -> Cluster:
    """A revision that refers to a ConfigMap for the first time; it may have run before that was deleted."""
    app = App(spec=pod_spec(container(envFrom=[{"configMapRef": {"name": "env"}}])), was=pod_spec())
    reason = "NewReplicaSetAvailable" if has_run else "ReplicaSetUpdated"
    parts = app.broken(app.pod(waiting("CreateContainerConfigError", 'configmap "env" not found'), age=30))
    observed = put(parts[0], "status.conditions", [{"type": "Progressing", "status": "True", "reason": reason}])
    return Cluster([observed, *parts[1:]])


MEMORY = 'pods "x" is forbidden: maximum memory usage per Container is 4Mi, but limit is 8Mi'
DEFAULTED = (
    'Pod "x" is invalid: spec.containers[0].resources.requests: Invalid value: "8Mi": '
    "must be less than or equal to memory limit of 4Mi"
)

CHANGED = (
    Fault(
        "label of the pods changed",
        lambda: label_changed("front", {"app": "checkout", "tier": "api"}),
        "PodLabelsChanged",
        "Deployment/checkout",
        "spec.template.metadata.labels.tier",
        (DEPLOYMENT, SERVICE, CLIENT),
        ("was changed to front",),
    ),
    Fault(
        "label of the pods removed",
        lambda: label_changed(None, {"tier": "api"}),
        "PodLabelsChanged",
        "Deployment/checkout",
        "spec.template.metadata.labels.tier",
        (SERVICE, CLIENT),
        ("was removed",),
    ),
    Fault(
        "container port changed",
        port_changed,
        "ContainerPortChanged",
        "Deployment/checkout",
        f"{WEB}.ports[name=http].containerPort",
        (DEPLOYMENT, SERVICE, CLIENT),
        ("9090 instead of 8080",),
    ),
    Fault(
        "container port renamed",
        port_renamed,
        "ContainerPortChanged",
        "Deployment/checkout",
        f"{WEB}.ports[name=web].name",
        (DEPLOYMENT, SERVICE, CLIENT),
    ),
    Fault(
        "service port renumbered",
        service_renumbered,
        "ServicePortChanged",
        "Service/checkout",
        "spec.ports[name=http].port",
        (CLIENT, SERVICE),
        ("now offers port 8088", "by kubectl-edit"),
    ),
    Fault(
        "selector leads elsewhere",
        selector_leads_elsewhere,
        "ServiceSelectorMismatch",
        "Service/checkout",
        "spec.selector",
        (CLIENT, SERVICE, DEPLOYMENT),
        ("no longer to Deployment shop/checkout",),
    ),
    Fault(
        "selector replaced as a whole",
        selector_replaced,
        "ServiceSelectorMismatch",
        "Service/checkout-api",
        "spec.selector",
        (DEPLOYMENT, key("Service", "checkout-api")),
    ),
    Fault(
        "host changed in env",
        host_changed_in_env,
        "DependencyHostWrong",
        "Deployment/frontend",
        f"{WEB}.env[name=API]",
        (CLIENT,),
        ("Service shop/chekout, which does not exist",),
    ),
    Fault(
        "host changed in a ConfigMap",
        host_changed_in_config,
        "DependencyHostWrong",
        "ConfigMap/settings",
        "data.HOST",
        (CLIENT,),
        ("changed by kubectl-edit 4 min ago",),
    ),
    Fault(
        "ingress to a mistyped service",
        lambda: with_ingress(ingress("chekout")),
        "IngressBackendWrong",
        "Ingress/shop",
        "spec.rules[0].http.paths[0].backend.service.name",
        (key("Ingress", "shop"),),
        ("there is checkout",),
    ),
    Fault(
        "ingress to a port that is not offered",
        lambda: with_ingress(ingress("checkout", 8443)),
        "IngressBackendWrong",
        "Ingress/shop",
        "spec.rules[0].http.paths[0].backend.service.port",
        (key("Ingress", "shop"),),
    ),
    Fault(
        "ingress to a deleted service",
        lambda: with_ingress(ingress("gone-for-good")),
        "ServiceNotFound",
        "Service/gone-for-good",
        "",
        (key("Ingress", "shop"),),
    ),
    Fault(
        "daemon set taken off all nodes",
        lambda: daemon_set({"disk": "nvme"}, {}),
        "NodeSelectorUnmatched",
        "DaemonSet/agent",
        "spec.template.spec.nodeSelector",
        (key("DaemonSet", "agent"), key("Namespace", "shop")),
    ),
    Fault(
        "cron job lost a variable",
        cron_job_env,
        "EnvVariableRemoved",
        "CronJob/report",
        "spec.jobTemplate.spec.template.spec.containers[name=web].env[name=TOKEN]",
        (key("CronJob", "report"), key("Job", "report-2")),
    ),
    Fault(
        "key taken from a ConfigMap that was created",
        unrecorded_config,
        "ConfigMapValueLost",
        "ConfigMap/env",
        "data.DB_HOST",
        (DEPLOYMENT,),
    ),
    Fault(
        "key taken from a Secret that is read whole",
        lambda: unrecorded_config(kind="secretRef"),
        "SecretValueLost",
        "Secret/env",
        "data.DB_HOST",
        (DEPLOYMENT,),
    ),
    Fault(
        "cordon and a selector that no node has",
        cordoned_and_selected,
        "NodeSelectorUnmatched",
        "Deployment/checkout",
        "spec.template.spec.nodeSelector",
    ),
    Fault(
        "limit range made after the template",
        lambda: limit_range(60, MEMORY),
        "LimitRangeViolated",
        "LimitRange/bounds",
        "spec.limits[type=Container].max.memory",
    ),
    Fault(
        "limit range there before the template",
        lambda: limit_range(9000, MEMORY),
        "LimitRangeViolated",
        "Deployment/checkout",
        "spec.template.spec.containers",
    ),
    Fault(
        "default of a limit range below the request",
        lambda: limit_range(60, DEFAULTED),
        "LimitRangeViolated",
        "LimitRange/bounds",
        "spec.limits[type=Container].default.memory",
    ),
    Fault(
        "probe that asks a service",
        probe_asks_a_service,
        "NodeSelectorUnmatched",
        "Deployment/checkout",
        "spec.template.spec.nodeSelector",
        (CLIENT,),
    ),
    Fault(
        "reference that a revision added",
        lambda: new_reference(False),
        "ConfigReferenceWrong",
        "Deployment/checkout",
        f"{WEB}.envFrom[0].configMapRef.name",
    ),
    Fault(
        "ConfigMap deleted after the revision ran",
        lambda: new_reference(True),
        "ConfigMapMissing",
        "ConfigMap/env",
        "",
    ),
    Fault(
        "value of a ConfigMap changed",
        value_changed,
        "ConfigMapValueChanged",
        "ConfigMap/env",
        "data.WORKERS",
        (DEPLOYMENT,),
        ("changed by kubectl-patch 5 min ago",),
    ),
    Fault(
        "registry does not answer",
        config_waiting("ErrImagePull", "dial tcp 10.0.0.1:443: connect: connection refused"),
        "ImageRegistryUnreachable",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "two things changed at once",
        since_revision({"image": "a:1", "args": ["a"]}, {"image": "a:2", "args": ["b"]}),
        "RevisionCrashes",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
)
