"""More broken clusters: the rarer families, each by the words that the components of Kubernetes use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.diagnosis.build import (
    App,
    Cluster,
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
    waiting,
    written,
)
from tests.unit.diagnosis.faults import DEPLOYMENT, WEB, Fault, refused

POD = "spec.template.spec"


def pending(message: str, spec: dict[str, Any] | None = None, *more: dict[str, Any]) -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        app = App(spec=spec or pod_spec())
        return Cluster(app.broken(app.pending(message)), node(), *more)

    return cluster


def config_error(message: str, **spec: Any) -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        app = App(spec=pod_spec(container(**spec)))
        return Cluster(app.broken(app.pod(waiting("CreateContainerConfigError", message))))

    return cluster


def config_waiting(reason: str, message: str) -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        app = App()
        return Cluster(app.broken(app.pod(waiting(reason, message))))

    return cluster


def mounting(message: str, reason: str = "FailedMount", **spec: Any) -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        app = App(spec=pod_spec(**spec))
        broken = app.pod(waiting("ContainerCreating"), phase="Pending", age=30)
        config = obj("ConfigMap", "files", data={"other.conf": "x"})
        return Cluster(app.broken(broken), config, event(broken, reason, message, count=3))

    return cluster


def stateful_image() -> Cluster:
    labels = {"app": "db"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(container(image="registry.test/db:9"))}
    was = put(template, "spec.containers.0.image", "registry.test/db:8")
    db = obj("StatefulSet", "db", spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template})
    db = put(db, "status", {"replicas": 1, "readyReplicas": 0})
    kept = [
        owned(
            obj(
                "ControllerRevision",
                f"db-{number}",
                labels=labels,
                revision=number,
                data={"spec": {"template": one}},
            ),
            db,
        )
        for number, one in ((1, was), (2, template))
    ]
    broken = pod("db-0", db, template["spec"], waiting("ErrImagePull", "registry.test/db:9: not found"), labels=labels)
    return Cluster(db, kept, broken)


def no_default_class() -> Cluster:
    app = App(spec=pod_spec(volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "d"}}]))
    claim = obj("PersistentVolumeClaim", "d", spec={}, status={"phase": "Pending"})
    message = "no persistent volumes available for this claim and no storage class is set"
    pending_pod = app.pending("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
    return Cluster(
        app.broken(pending_pod),
        claim,
        obj("StorageClass", "slow"),
        event(claim, "FailedBinding", message, kind="Normal"),
    )


def gated() -> Cluster:
    app = App()
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked",
    }
    return Cluster(app.broken(put(app.pending("x"), "status.conditions", [condition])))


def rejected() -> Cluster:
    app = App()
    made = put(app.pod(phase="Failed", age=5), "status.reason", "OutOfcpu")
    return Cluster(app.broken(put(made, "status.message", "Node didn't have enough resource: cpu")))


def evicted() -> Cluster:
    app = App()
    made = put(app.pod(phase="Failed", age=5), "status.reason", "Evicted")
    made = put(made, "status.message", "The node was low on resource: ephemeral-storage.")
    full = node()
    full["status"]["conditions"].append(
        {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure"}
    )
    return Cluster(app.broken(made), full)


def pull_secret() -> Cluster:
    app = App(spec=pod_spec(imagePullSecrets=[{"name": "registry"}]))
    message = "failed to authorize: 401 Unauthorized"
    broken = app.pod(waiting("ErrImagePull", message))
    told = "Unable to retrieve some image pull secrets (registry); attempting to pull the image may not succeed."
    return Cluster(app.broken(broken), event(broken, "FailedToRetrieveImagePullSecret", told))


def pull_policy() -> Cluster:
    def spec(policy: str) -> dict[str, Any]:
        return pod_spec(container(imagePullPolicy=policy))

    app = App(spec=spec("Always"), was=spec("IfNotPresent"))
    return Cluster(app.broken(app.pod(waiting("ErrImagePull", "dial tcp 1.2.3.4:443: i/o timeout"))))


def wrong_port() -> Cluster:
    client = App("checkout", pod_spec(container(env=[{"name": "DB", "value": "db:5433"}])))
    db, svc = App("db"), service("db", {"app": "db"}, port=5432)
    log = {("checkout-bbb-1", "web"): "dial tcp db:5433: i/o timeout"}
    return Cluster(client.healthy(), db.healthy(), svc, endpoints(svc, 2), logs=log)


def relabelled_namespace() -> Cluster:
    app = App()
    none = put(app.new, "status.replicas", 0)
    message = 'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
    label = "pod-security.kubernetes.io/enforce"
    space = written(
        obj("Namespace", "shop", labels={label: "restricted"}),
        "kubectl-label",
        30,
        ("metadata", "labels", label),
    )
    return Cluster(put(app.deployment, "status.readyReplicas", 0), none, space, event(none, "FailedCreate", message))


def since_revision(was: dict[str, Any], now: dict[str, Any], log: str = "segmentation fault") -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        app = App(spec=pod_spec(container(**now)), was=pod_spec(container(**was)))
        return Cluster(app.broken(app.pod(crashing(2), age=30)), logs={("checkout-bbb-1", "web"): log})

    return cluster


def limit_always_low() -> Cluster:
    app = App(spec=pod_spec(container(resources={"limits": {"memory": "64Mi"}})))
    return Cluster(app.broken(app.pod(crashing(137, "OOMKilled"))))


def probing(kind: str, message: str, was: dict[str, Any] | None = None, **status: Any) -> Callable[[], Cluster]:
    """A probe that asks the right port and fails; with `was`, one that the newest revision changed."""

    def cluster() -> Cluster:
        probe: dict[str, Any] = {f"{kind.lower()}Probe": {"httpGet": {"path": "/healthz", "port": 8080}}}
        old: dict[str, Any] = {f"{kind.lower()}Probe": was}
        before = pod_spec(container(**old)) if was else None
        app = App(spec=pod_spec(container(**probe)), was=before)
        broken = app.pod(running(**status), age=400)
        told = f"{kind} probe failed: {message}"
        return Cluster(app.broken(broken), event(broken, "Unhealthy", told, part="web", count=20))

    return cluster


def job_without_pods(reason: str) -> Callable[[], Cluster]:
    def cluster() -> Cluster:
        conditions = [{"type": "Failed", "status": "True", "reason": reason, "message": f"Job was ended: {reason}"}]
        spec = {"selector": {"matchLabels": {"job-name": "migrate"}}, "template": {"spec": pod_spec()}}
        return Cluster(obj("Job", "migrate", spec=spec, status={"failed": 3, "conditions": conditions}))

    return cluster


def image_volume_key() -> dict[str, Any]:
    return {
        "volumes": [
            {
                "name": "cfg",
                "configMap": {"name": "files", "items": [{"key": "app.conf", "path": "app.conf"}]},
            }
        ]
    }


def affinity() -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z9"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return pod_spec(affinity={"nodeAffinity": required})


NO_MATCH = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
SPREAD = "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
ANTI = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
MORE: tuple[Fault, ...] = (
    Fault(
        "Secret key",
        config_error("couldn't find key P in Secret shop/db"),
        "SecretKeyMissing",
        "Secret/db",
        "data.P",
    ),
    Fault(
        "ConfigMap of envFrom",
        config_error('configmap "env" not found'),
        "ConfigMapMissing",
        "ConfigMap/env",
        "",
    ),
    Fault(
        "mounted key",
        mounting(
            'MountVolume.SetUp failed for volume "cfg" : configmap references non-existent config key: app.conf',
            **image_volume_key(),
        ),
        "ConfigMapKeyMissing",
        "ConfigMap/files",
        "data[app.conf]",
    ),
    Fault(
        "driver",
        mounting(
            'MountVolume.MountDevice failed for volume "v" : driver name x.csi not found in the list '
            "of registered CSI drivers"
        ),
        "VolumeMountFailed",
        "Deployment/checkout",
        f"{POD}.volumes[name=v]",
    ),
    Fault(
        "sandbox",
        mounting(
            "failed to setup network for sandbox: no IP addresses available in range set",
            "FailedCreatePodSandBox",
        ),
        "PodSandboxFailed",
        "Node/node-1",
        "",
    ),
    Fault(
        "node affinity",
        pending(NO_MATCH, affinity()),
        "NodeAffinityUnmatched",
        "Deployment/checkout",
        f"{POD}.affinity.nodeAffinity",
    ),
    Fault(
        "host port",
        pending("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."),
        "HostPortTaken",
        "Deployment/checkout",
        f"{POD}.containers",
    ),
    Fault(
        "spread",
        pending(SPREAD),
        "PodAffinityUnsatisfied",
        "Deployment/checkout",
        f"{POD}.topologySpreadConstraints",
    ),
    Fault("anti-affinity", pending(ANTI), "PodAffinityUnsatisfied", "Deployment/checkout", f"{POD}.affinity"),
    Fault(
        "too many pods",
        pending("0/1 nodes are available: 1 Too many pods."),
        "InsufficientResources",
        "Deployment/checkout",
        POD,
    ),
    Fault(
        "claim missing",
        pending('persistentvolumeclaim "d" not found'),
        "PersistentVolumeClaimNotFound",
        "PersistentVolumeClaim/d",
        "",
    ),
    Fault(
        "no default class",
        no_default_class,
        "NoDefaultStorageClass",
        "PersistentVolumeClaim/d",
        "spec.storageClassName",
    ),
    Fault("gated", gated, "SchedulingGated", "Deployment/checkout", f"{POD}.schedulingGates"),
    Fault("rejected", rejected, "PodRejected", "Deployment/checkout", POD),
    Fault("evicted", evicted, "NodeUnderPressure", "Node/node-1", "status.conditions[type=DiskPressure]"),
    Fault("pull secret", pull_secret, "ImagePullSecretMissing", "Secret/registry", ""),
    Fault(
        "pull policy",
        pull_policy,
        "ImagePullPolicyChanged",
        "Deployment/checkout",
        f"{WEB}.imagePullPolicy",
    ),
    Fault(
        "image of a set",
        stateful_image,
        "ImageNotFound",
        "StatefulSet/db",
        f"{WEB}.image",
        (key("StatefulSet", "db"), key("Pod", "db-0")),
    ),
    Fault(
        "port of a dependency",
        wrong_port,
        "DependencyPortWrong",
        "Deployment/checkout",
        f"{WEB}.env[name=DB]",
    ),
    Fault(
        "namespace label",
        relabelled_namespace,
        "PodSecurityViolation",
        "Namespace/shop",
        "metadata.labels[pod-security.kubernetes.io/enforce]",
    ),
    Fault(
        "namespace deleted",
        refused('pods "x" is forbidden: unable to create new content in namespace shop because it is being terminated'),
        "NamespaceTerminating",
        "Namespace/shop",
        "",
    ),
    Fault(
        "webhook denies",
        refused('admission webhook "policy.example.com" denied the request: no'),
        "AdmissionDenied",
        "Deployment/checkout",
        POD,
    ),
    Fault(
        "refused otherwise",
        refused('Pod "x" is invalid: spec.containers[0].image: Required value'),
        "PodCreationRefused",
        "Deployment/checkout",
        POD,
    ),
    Fault(
        "image crashes",
        since_revision({"image": "a:1"}, {"image": "a:2"}),
        "ImageChanged",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "args crash",
        since_revision({"args": ["a"]}, {"args": ["b"]}),
        "CommandChanged",
        "Deployment/checkout",
        f"{WEB}.args[0]",
    ),
    Fault(
        "env changed",
        since_revision(
            {"env": [{"name": "MODE", "value": "a"}]},
            {"env": [{"name": "MODE", "value": "b"}]},
            "fatal: bad MODE",
        ),
        "EnvVariableChanged",
        "Deployment/checkout",
        f"{WEB}.env[name=MODE]",
    ),
    Fault(
        "memory limit",
        limit_always_low,
        "MemoryLimitExceeded",
        "Deployment/checkout",
        f"{WEB}.resources.limits.memory",
    ),
    Fault(
        "liveness 404",
        probing("Liveness", "HTTP probe failed with statuscode: 404", restarts=3, since=5, last=ended(137, ago=6)),
        "LivenessProbeFailing",
        "Deployment/checkout",
        f"{WEB}.livenessProbe",
    ),
    Fault(
        "liveness path changed",
        probing(
            "Liveness",
            "HTTP probe failed with statuscode: 404",
            {"httpGet": {"path": "/", "port": 8080}},
            restarts=1,
            since=5,
            last=ended(137, ago=6),
        ),
        "LivenessProbeWrong",
        "Deployment/checkout",
        f"{WEB}.livenessProbe.httpGet.path",
    ),
    Fault(
        "startup",
        probing("Startup", "connection refused", ready=False, restarts=2, since=5, last=ended(137, ago=6)),
        "StartupProbeFailing",
        "Deployment/checkout",
        f"{WEB}.startupProbe",
    ),
    Fault(
        "startup changed",
        probing(
            "Startup",
            "404",
            {"httpGet": {"path": "/", "port": 8080}},
            ready=False,
            restarts=1,
            since=5,
            last=ended(137, ago=6),
        ),
        "StartupProbeWrong",
        "Deployment/checkout",
        f"{WEB}.startupProbe.httpGet.path",
    ),
    Fault(
        "readiness 503",
        probing("Readiness", "HTTP probe failed with statuscode: 503", ready=False, since=300),
        "ReadinessProbeFailing",
        "Deployment/checkout",
        f"{WEB}.readinessProbe",
    ),
    Fault(
        "image name",
        config_waiting("InvalidImageName", "Failed to apply default image tag: couldn't parse image name"),
        "ImageNameInvalid",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "rate limit",
        config_waiting("ErrImagePull", "429 Too Many Requests - toomanyrequests: You have reached your limit"),
        "ImagePullRateLimited",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "pull fails",
        config_waiting("ErrImagePull", "something else"),
        "ImagePullFailed",
        "Deployment/checkout",
        f"{WEB}.image",
    ),
    Fault(
        "job gave up",
        job_without_pods("BackoffLimitExceeded"),
        "JobBackoffLimitExceeded",
        "Job/migrate",
        "",
        (key("Job", "migrate"),),
    ),
    Fault(
        "job too slow",
        job_without_pods("DeadlineExceeded"),
        "JobDeadlineExceeded",
        "Job/migrate",
        "spec.activeDeadlineSeconds",
        (key("Job", "migrate"),),
    ),
)
assert DEPLOYMENT.kind == "Deployment"
