"""Broken clusters, one function per fault: what is injected, whom one may ask about, and what the answer must
be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubeagent.resources.refs import ObjectKey
from tests.unit.diagnosis.build import (
    App,
    Cluster,
    applied,
    at,
    container,
    crashing,
    ended,
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
    unscheduled,
    waiting,
    written,
)

WEB = "spec.template.spec.containers[name=web]"
DEPLOYMENT = key("Deployment", "checkout")


@dataclass(frozen=True)
class Fault:
    """A broken cluster, the root cause that must come first, and targets for which it must."""

    name: str
    cluster: Callable[[], Cluster]
    reason: str
    object: str
    path: str
    targets: tuple[ObjectKey, ...] = (DEPLOYMENT,)
    says: tuple[str, ...] = field(default=())


def _env(name: str, kind: str, source: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {f"{kind}KeyRef": {"name": source, "key": name}}}


def config_map_key() -> Cluster:
    app = App(spec=pod_spec(container(env=[_env("DB_HOST", "configMap", "checkout-env")])))
    message = "couldn't find key DB_HOST in ConfigMap shop/checkout-env"
    was = obj("ConfigMap", "checkout-env", data={"DB_HOST": "db", "DB_PORT": "5432"})
    config = applied(obj("ConfigMap", "checkout-env", data={"DB_HOSTNAME": "db", "DB_PORT": "5432"}), was)
    config = written(config, "kubectl-client-side-apply", 3600, ("data", "DB_PORT"))
    config = written(config, "kubectl-patch", 240, ("data", "DB_HOSTNAME"))
    broken = app.pod(waiting("CreateContainerConfigError", message), index=9, age=30)
    return Cluster(app.broken(broken), config, event(broken, "Failed", f"Error: {message}", part="web"))


def config_map_deleted_volume() -> Cluster:
    volume = {"name": "cfg", "configMap": {"name": "checkout-files"}}
    app = App(spec=pod_spec(volumes=[volume]))
    broken = app.pod(waiting("ContainerCreating"), index=9, age=30, phase="Pending")
    message = 'MountVolume.SetUp failed for volume "cfg" : configmap "checkout-files" not found'
    return Cluster(app.broken(broken), event(broken, "FailedMount", message, count=4))


def secret_deleted() -> Cluster:
    app = App(spec=pod_spec(container(env=[_env("PASSWORD", "secret", "checkout-db")])))
    return Cluster(app.broken(app.pod(waiting("CreateContainerConfigError", 'secret "checkout-db" not found'), age=30)))


def secret_volume() -> Cluster:
    app = App(spec=pod_spec(volumes=[{"name": "tls", "secret": {"secretName": "checkout-tls"}}]))
    broken = app.pod(waiting("ContainerCreating"), age=30, phase="Pending")
    message = 'MountVolume.SetUp failed for volume "tls" : secret "checkout-tls" not found'
    return Cluster(app.broken(broken), event(broken, "FailedMount", message))


def secret_renamed_in_template() -> Cluster:
    app = App(
        spec=pod_spec(container(env=[_env("PASSWORD", "secret", "checkout-bd")])),
        was=pod_spec(container(env=[_env("PASSWORD", "secret", "checkout-db")])),
    )
    return Cluster(app.broken(app.pod(waiting("CreateContainerConfigError", 'secret "checkout-bd" not found'), age=30)))


def image(message: str, reason: str = "ErrImagePull") -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        bad = container(image="registry.test/web:9.9-missing")
        app = App(spec=pod_spec(bad), was=pod_spec(container()))
        told = message.replace("IMAGE", "registry.test/web:9.9-missing")
        return Cluster(app.controllers(), app.pod(index=1, old=True), app.pod(waiting(reason, told), index=2, age=5))

    return cluster


def oom() -> Cluster:
    def limited(limit: str) -> dict[str, Any]:
        return pod_spec(container(resources={"limits": {"memory": limit}}))

    app = App(spec=limited("16Mi"), was=limited("128Mi"))
    deployment = written(
        app.deployment,
        "kubectl-patch",
        60,
        ("spec", "template", "spec", "containers", 'k:{"name":"web"}', "resources", "limits", "memory"),
    )
    app.deployment = deployment
    return Cluster(app.broken(app.pod(crashing(137, "OOMKilled"), age=50)))


def env_removed() -> Cluster:
    old = container(env=[{"name": "DB_URL", "value": "postgres://db"}, {"name": "MODE", "value": "live"}])
    app = App(spec=pod_spec(container(env=[{"name": "MODE", "value": "live"}])), was=pod_spec(old))
    broken = app.pod(crashing(), age=40)
    name = broken["metadata"]["name"]
    return Cluster(app.broken(broken), logs={(name, "web"): "starting\nfatal: DB_URL is not set\n"})


def selector_wrong() -> Cluster:
    app, client = (
        App(),
        App("frontend", pod_spec(container(env=[{"name": "API", "value": "http://checkout:80"}]))),
    )
    svc = written(
        applied(service("checkout", {"app": "checkout-v2"}), service("checkout", {"app": "checkout"})),
        "kubectl-patch",
        60,
        ("spec", "selector"),
    )
    log = "GET http://checkout:80/ failed: dial tcp 10.96.3.4:80: connect: connection refused"
    return Cluster(app.healthy(), client.healthy(), svc, endpoints(svc, 0), logs={("frontend-bbb-1", "web"): log})


def target_port_wrong() -> Cluster:
    app, client = (
        App(),
        App("frontend", pod_spec(container(env=[{"name": "API", "value": "http://checkout:80"}]))),
    )
    svc = written(
        service("checkout", {"app": "checkout"}, target=9999),
        "kubectl-patch",
        60,
        ("spec", "ports", 'k:{"port":80,"protocol":"TCP"}', "targetPort"),
    )
    log = "urlopen error: Get http://checkout:80/: [Errno 111] Connection refused"
    return Cluster(app.healthy(), client.healthy(), svc, endpoints(svc, 2), logs={("frontend-bbb-1", "web"): log})


def target_port_name_missing() -> Cluster:
    app = App()
    svc = service("checkout", {"app": "checkout"}, target="web")
    return Cluster(app.healthy(), svc, endpoints(svc, 0))


def node_selector() -> Cluster:
    app = App(spec=pod_spec(nodeSelector={"disk": "nvme"}), was=pod_spec())
    message = (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: "
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    return Cluster(app.broken(app.pending(message)), node())


def cordoned() -> Cluster:
    app = App()
    message = (
        "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are available: "
        "1 Preemption is not helpful for scheduling."
    )
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    bad = written(node(unschedulable=True, taints=[taint]), "kubectl-cordon", 90, ("spec", "unschedulable"))
    return Cluster(app.broken(app.pending(message)), bad)


def tainted() -> Cluster:
    app = App()
    message = "0/1 nodes are available: 1 node(s) had untolerated taint {team: other}. preemption: not helpful"
    return Cluster(
        app.broken(app.pending(message)),
        node(taints=[{"key": "team", "value": "other", "effect": "NoSchedule"}]),
    )


def too_big() -> Cluster:
    app = App(
        spec=pod_spec(container(resources={"requests": {"memory": "64Gi"}})),
        was=pod_spec(container(resources={"requests": {"memory": "64Mi"}})),
    )
    return Cluster(app.broken(app.pending("0/1 nodes are available: 1 Insufficient memory.")), node())


def scheduler_unknown() -> Cluster:
    app = App(spec=pod_spec(schedulerName="my-sched"), was=pod_spec(schedulerName="default-scheduler"))
    pending = put(app.pending(""), "status.conditions", [])
    return Cluster(app.broken(pending), node())


def liveness() -> Cluster:
    def probed(port: int) -> dict[str, Any]:
        return pod_spec(
            container(
                livenessProbe={
                    "httpGet": {"path": "/", "port": port},
                    "periodSeconds": 2,
                    "failureThreshold": 1,
                }
            )
        )

    app = App(spec=probed(9999), was=probed(8080))
    broken = app.pod(running(restarts=1, since=3, last=ended(137, "Error", ago=3)), age=30)
    refused = 'Liveness probe failed: Get "http://10.0.0.7:9999/": dial tcp 10.0.0.7:9999: connect: connection refused'
    killing = "Container web failed liveness probe, will be restarted"
    return Cluster(
        app.broken(broken),
        event(broken, "Unhealthy", refused, part="web", count=2),
        event(broken, "Killing", killing, kind="Normal", part="web"),
    )


def readiness() -> Cluster:
    def probed(port: int) -> dict[str, Any]:
        return pod_spec(container(readinessProbe={"httpGet": {"path": "/", "port": port}}))

    app = App(spec=probed(9999), was=probed(8080))
    broken = app.pod(running(ready=False, since=20), age=22)
    refused = 'Readiness probe failed: Get "http://10.0.0.7:9999/": dial tcp 10.0.0.7:9999: connect: connection refused'
    return Cluster(
        app.controllers(),
        app.pod(index=7, old=True),
        broken,
        event(broken, "Unhealthy", refused, part="web", count=3),
    )


def quota() -> Cluster:
    app = App(replicas=3)
    message = (
        'Error creating: pods "checkout-bbb-z" is forbidden: exceeded quota: compute, requested: '
        "pods=1, used: pods=1, limited: pods=1"
    )
    short = put(app.new, "status.replicas", 1)
    limit = obj(
        "ResourceQuota",
        "compute",
        spec={"hard": {"pods": "1"}},
        status={"hard": {"pods": "1"}, "used": {"pods": "1"}},
    )
    limit = written(limit, "kubectl-patch", 60, ("spec", "hard", "pods"))
    deployment = put(app.deployment, "status.readyReplicas", 1)
    return Cluster(deployment, short, app.pod(), limit, event(short, "FailedCreate", message, count=5))


def pod_security() -> Cluster:
    app = App(replicas=2)
    message = (
        'Error creating: pods "checkout-bbb-z" is forbidden: violates PodSecurity '
        '"restricted:latest": allowPrivilegeEscalation != false (container "web" must set '
        "securityContext.allowPrivilegeEscalation=false)"
    )
    return Cluster(
        put(app.deployment, "status.readyReplicas", 0),
        put(app.new, "status.replicas", 0),
        event(app.new, "FailedCreate", message),
    )


def refused(message: str) -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        app = App()
        none = put(app.new, "status.replicas", 0)
        return Cluster(
            put(app.deployment, "status.readyReplicas", 0),
            none,
            event(none, "FailedCreate", f"Error creating: {message}"),
        )

    return cluster


def storage_class() -> Cluster:
    app = App(spec=pod_spec(volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "checkout-data"}}]))
    claim = obj(
        "PersistentVolumeClaim",
        "checkout-data",
        age=30,
        spec={"storageClassName": "fast-ssd"},
        status={"phase": "Pending"},
    )
    message = 'storageclass.storage.k8s.io "fast-ssd" not found'
    pending = app.pending("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
    return Cluster(
        app.broken(pending),
        claim,
        obj("StorageClass", "standard"),
        event(claim, "ProvisioningFailed", message),
    )


def storage_class_of_set() -> Cluster:
    spec = pod_spec(volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}])
    labels = {"app": "db"}
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
        age=30,
        spec={"storageClassName": "fast-ssd"},
        status={"phase": "Pending"},
    )
    pending = unscheduled(
        "db-0", db, spec, "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", labels
    )
    return Cluster(
        db,
        pending,
        claim,
        event(claim, "ProvisioningFailed", 'storageclass.storage.k8s.io "fast-ssd" not found'),
    )


def two_hops() -> Cluster:
    db = App("orders-db", replicas=0)
    events = [
        event(
            db.deployment,
            "ScalingReplicaSet",
            "Scaled down replica set orders-db-bbb from 1 to 0",
            kind="Normal",
            ago=60,
        )
    ]
    db.deployment = written(db.deployment, "kubectl", 60, ("spec", "replicas"))
    svc = service("orders-db", {"app": "orders-db"}, port=5432)
    client = App("checkout", pod_spec(container(env=[{"name": "DB", "value": "orders-db:5432"}])))
    log = "retrying: dial tcp 10.96.3.4:5432: connect: connection refused"
    return Cluster(
        db.controllers(),
        client.healthy(),
        svc,
        endpoints(svc, 0),
        *events,
        logs={("checkout-bbb-1", "web"): log},
    )


def two_hops_crashing() -> Cluster:
    cluster = two_hops()
    client = App("checkout", pod_spec(container(env=[{"name": "DB", "value": "orders-db:5432"}])))
    broken = client.pod(crashing())
    kept = [
        item
        for item in cluster.objects
        if item["metadata"]["name"] not in ("checkout-bbb-1", "checkout-bbb-2", "checkout")
    ]
    log = "could not connect to server: Connection refused: orders-db:5432"
    return Cluster(kept, client.broken(broken)[0], broken, logs={("checkout-bbb-1", "web"): log})


def service_missing() -> Cluster:
    client = App("checkout", pod_spec(container(env=[{"name": "DB", "value": "orders-db:5432"}])))
    log = "error: lookup orders-db on 10.96.0.10:53: no such host"
    return Cluster(client.broken(client.pod(crashing())), logs={("checkout-bbb-1", "web"): log})


def application() -> Cluster:
    app = App()
    log = "boot\npanic: index out of range [3] with length 3\n"
    return Cluster(app.broken(app.pod(crashing(2))), logs={("checkout-bbb-1", "web"): log})


def value_lost() -> Cluster:
    app = App(spec=pod_spec(container(envFrom=[{"configMapRef": {"name": "checkout-env"}}])))
    config = applied(
        obj("ConfigMap", "checkout-env", data={"A": "1"}),
        obj("ConfigMap", "checkout-env", data={"A": "1", "DB_URL": "x"}),
    )
    return Cluster(app.broken(app.pod(crashing())), config, logs={("checkout-bbb-1", "web"): "DB_URL is not set"})


def node_down() -> Cluster:
    app = App()
    bad = node(ready="Unknown")
    broken = app.pod(running(ready=False))
    return Cluster(app.broken(broken), bad)


def paused() -> Cluster:
    app = App()
    changed = put(app.deployment, "spec.template.spec", pod_spec(container(image="registry.test/web:2.0")))
    changed = put(put(changed, "spec.paused", True), "status.updatedReplicas", 0)
    return Cluster(changed, app.new, app.pod(index=1), app.pod(index=2))


def autoscaler() -> Cluster:
    app = App()
    hpa = obj(
        "HorizontalPodAutoscaler",
        "checkout",
        spec={"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chekout"}},
    )
    return Cluster(app.healthy(), hpa, event(hpa, "FailedGetScale", 'deployments.apps "chekout" not found'))


def job() -> Cluster:
    labels = {"job-name": "migrate"}
    conditions = [
        {
            "type": "Failed",
            "status": "True",
            "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
        }
    ]
    made = obj(
        "Job",
        "migrate",
        spec={"selector": {"matchLabels": labels}, "template": {"spec": pod_spec()}},
        status={"failed": 3, "conditions": conditions},
    )
    failed = {"name": "web", "ready": False, "restartCount": 0, "state": {"terminated": ended()}}
    broken = pod("migrate-1", made, pod_spec() | {"restartPolicy": "Never"}, failed, labels=labels, phase="Failed")
    return Cluster(made, broken, logs={("migrate-1", "web"): "error: relation users does not exist"})


def completes() -> Cluster:
    app = App(spec=pod_spec(container(command=["true"])))
    return Cluster(app.broken(app.pod(crashing(0, "Completed"))))


def cannot_run() -> Cluster:
    app = App(spec=pod_spec(container(command=["srv"])), was=pod_spec(container(command=["serve"])))
    message = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        'exec: "srv": executable file not found in $PATH: unknown'
    )
    return Cluster(app.broken(app.pod(waiting("RunContainerError", message))))


def non_root() -> Cluster:
    app = App(spec=pod_spec(container(securityContext={"runAsNonRoot": True})), was=pod_spec())
    message = 'container has runAsNonRoot and image will run as root (pod: "x", container: web)'
    return Cluster(app.broken(app.pod(waiting("CreateContainerConfigError", message))))


QUOTED = 'failed to pull and unpack image "IMAGE": failed to resolve reference "IMAGE": '
FAULTS: tuple[Fault, ...] = (
    Fault(
        "ConfigMap key lost",
        config_map_key,
        "ConfigMapKeyMissing",
        "ConfigMap/checkout-env",
        "data.DB_HOST",
        (DEPLOYMENT, key("Pod", "checkout-bbb-9"), key("ConfigMap", "checkout-env")),
        (
            "lost key DB_HOST",
            "it has DB_HOSTNAME",
            "last applied by kubectl-client-side-apply",
            "changed by kubectl-patch 4 min ago",
        ),
    ),
    Fault("ConfigMap deleted", config_map_deleted_volume, "ConfigMapMissing", "ConfigMap/checkout-files", ""),
    Fault(
        "Secret deleted",
        secret_deleted,
        "SecretMissing",
        "Secret/checkout-db",
        "",
        (DEPLOYMENT, key("Pod", "checkout-bbb-1")),
    ),
    Fault("Secret volume", secret_volume, "SecretMissing", "Secret/checkout-tls", ""),
    Fault(
        "Secret name changed",
        secret_renamed_in_template,
        "ConfigReferenceWrong",
        "Deployment/checkout",
        f"{WEB}.env[name=PASSWORD].valueFrom.secretKeyRef.name",
    ),
    Fault(
        "image tag",
        image(QUOTED + "IMAGE: not found"),
        "ImageNotFound",
        "Deployment/checkout",
        f"{WEB}.image",
        (DEPLOYMENT, key("Pod", "checkout-bbb-2")),
        ("registry.test/web:1.0",),
    ),
    Fault(
        "image back-off",
        image(
            'Back-off pulling image "IMAGE": ErrImagePull: rpc error: code = NotFound desc = '
            + QUOTED
            + "IMAGE: not found",
            "ImagePullBackOff",
        ),
        "ImageNotFound",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "image auth",
        image(QUOTED + "unexpected status from HEAD request: 401 Unauthorized"),
        "ImagePullUnauthorized",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "image host",
        image(
            QUOTED
            + 'failed to do request: Head "https://registry.test/v2/": '
            + "dial tcp: lookup registry.test: no such host"
        ),
        "ImageRegistryNotFound",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "image x509",
        image(QUOTED + "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
        "ImageRegistryUntrusted",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "image never",
        image('Container image "IMAGE" is not present with pull policy of Never', "ErrImageNeverPull"),
        "ImageNeverPulled",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "OOM",
        oom,
        "MemoryLimitLowered",
        "Deployment/checkout",
        f"{WEB}.resources.limits.memory",
        says=("128Mi", "16Mi", "kubectl-patch"),
    ),
    Fault(
        "env removed",
        env_removed,
        "EnvVariableRemoved",
        "Deployment/checkout",
        f"{WEB}.env[name=DB_URL]",
        says=("DB_URL",),
    ),
    Fault(
        "Service selector",
        selector_wrong,
        "ServiceSelectorMismatch",
        "Service/checkout",
        "spec.selector",
        (key("Service", "checkout"), DEPLOYMENT, key("Deployment", "frontend"), key("Pod", "checkout-bbb-1")),
    ),
    Fault(
        "Service targetPort",
        target_port_wrong,
        "ServiceTargetPortWrong",
        "Service/checkout",
        "spec.ports[name=http].targetPort",
        (key("Service", "checkout"), DEPLOYMENT, key("Deployment", "frontend")),
    ),
    Fault(
        "Service port name",
        target_port_name_missing,
        "ServiceTargetPortWrong",
        "Service/checkout",
        "spec.ports[name=http].targetPort",
        (key("Service", "checkout"), DEPLOYMENT),
    ),
    Fault(
        "nodeSelector",
        node_selector,
        "NodeSelectorUnmatched",
        "Deployment/checkout",
        "spec.template.spec.nodeSelector",
    ),
    Fault(
        "cordon",
        cordoned,
        "NodeCordoned",
        "Node/node-1",
        "spec.unschedulable",
        (DEPLOYMENT, key("Pod", "checkout-bbb-1"), key("Node", "node-1")),
    ),
    Fault("taint", tainted, "NodeTainted", "Node/node-1", "spec.taints[key=team]"),
    Fault(
        "requests",
        too_big,
        "InsufficientResources",
        "Deployment/checkout",
        f"{WEB}.resources.requests.memory",
    ),
    Fault(
        "scheduler",
        scheduler_unknown,
        "SchedulerUnknown",
        "Deployment/checkout",
        "spec.template.spec.schedulerName",
    ),
    Fault("liveness", liveness, "LivenessProbeWrong", "Deployment/checkout", f"{WEB}.livenessProbe.httpGet.port"),
    Fault(
        "readiness",
        readiness,
        "ReadinessProbeWrong",
        "Deployment/checkout",
        f"{WEB}.readinessProbe.httpGet.port",
    ),
    Fault(
        "quota",
        quota,
        "QuotaExceeded",
        "ResourceQuota/compute",
        "spec.hard.pods",
        (DEPLOYMENT, key("Pod", "checkout-bbb-1")),
    ),
    Fault("pod security", pod_security, "PodSecurityViolation", "Deployment/checkout", "spec.template.spec"),
    Fault(
        "account",
        refused('pods "x" is forbidden: error looking up service account shop/robot: serviceaccount "robot" not found'),
        "ServiceAccountNotFound",
        "ServiceAccount/robot",
        "",
    ),
    Fault(
        "webhook",
        refused(
            'Internal error occurred: failed calling webhook "v.example.com": failed to call '
            'webhook: Post "https://hook.tools.svc:443/v?timeout=10s": dial tcp 10.96.1.1:443: '
            "connect: connection refused"
        ),
        "AdmissionWebhookFailed",
        "Service/hook",
        "",
    ),
    Fault(
        "priority class",
        refused('pods "x" is forbidden: no PriorityClass with name urgent was found'),
        "PriorityClassNotFound",
        "PriorityClass/urgent",
        "",
    ),
    Fault(
        "runtime class",
        refused('pods "x" is forbidden: pod rejected: RuntimeClass "gvisor" not found'),
        "RuntimeClassNotFound",
        "RuntimeClass/gvisor",
        "",
    ),
    Fault(
        "limit range",
        refused('pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2'),
        "LimitRangeViolated",
        "Deployment/checkout",
        "spec.template.spec.containers",
    ),
    Fault(
        "quota demands",
        refused('pods "x" is forbidden: failed quota: compute: must specify limits.cpu for: web'),
        "QuotaRequiresResources",
        "Deployment/checkout",
        "spec.template.spec.containers",
    ),
    Fault(
        "policy",
        refused(
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'no-latest' with binding 'b' denied request: failed"
        ),
        "AdmissionDenied",
        "Deployment/checkout",
        "spec.template.spec",
    ),
    Fault(
        "storage class",
        storage_class,
        "StorageClassNotFound",
        "PersistentVolumeClaim/checkout-data",
        "spec.storageClassName",
        (DEPLOYMENT, key("PersistentVolumeClaim", "checkout-data")),
    ),
    Fault(
        "storage class of set",
        storage_class_of_set,
        "StorageClassNotFound",
        "StatefulSet/db",
        "spec.volumeClaimTemplates[name=data].spec.storageClassName",
        (key("StatefulSet", "db"), key("Pod", "db-0")),
    ),
    Fault(
        "two hops",
        two_hops,
        "ScaledToZero",
        "Deployment/orders-db",
        "spec.replicas",
        (
            DEPLOYMENT,
            key("Pod", "checkout-bbb-1"),
            key("Service", "orders-db"),
            key("Deployment", "orders-db"),
        ),
    ),
    Fault("two hops, crashing", two_hops_crashing, "ScaledToZero", "Deployment/orders-db", "spec.replicas"),
    Fault("Service missing", service_missing, "ServiceNotFound", "Service/orders-db", ""),
    Fault(
        "application",
        application,
        "ApplicationCrash",
        "Deployment/checkout",
        "",
        says=("index out of range",),
    ),
    Fault("value lost", value_lost, "ConfigMapValueLost", "ConfigMap/checkout-env", "data.DB_URL"),
    Fault("node down", node_down, "NodeNotReady", "Node/node-1", "status.conditions[type=Ready]"),
    Fault("paused", paused, "RolloutPaused", "Deployment/checkout", "spec.paused"),
    Fault(
        "autoscaler",
        autoscaler,
        "ScaleTargetNotFound",
        "HorizontalPodAutoscaler/checkout",
        "spec.scaleTargetRef.name",
        (key("HorizontalPodAutoscaler", "checkout"),),
    ),
    Fault("job", job, "ApplicationCrash", "Job/migrate", "", (key("Job", "migrate"),)),
    Fault("completes", completes, "CommandCompletes", "Deployment/checkout", f"{WEB}.command"),
    Fault("cannot run", cannot_run, "CommandCannotRun", "Deployment/checkout", f"{WEB}.command"),
    Fault("non-root", non_root, "RunAsNonRootViolated", "Deployment/checkout", f"{WEB}.securityContext"),
)

__all__ = ["FAULTS", "Fault", "at", "owned"]
