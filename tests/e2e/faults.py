"""The faults: each makes a workload healthy, changes one thing, waits for the symptom, and says what is to be found.

What is expected is the object to change, the reason and the field: facts of what was done, not of what the engine says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.e2e import objects
from tests.e2e.scene import Scene


@dataclass(frozen=True)
class Case:
    """What was asked about, and what is the root of it."""

    target: tuple[str, str]
    kind: str
    name: str
    field: str
    reason: str


Fault = Callable[[Scene], Awaitable[Case]]


async def lost_config_key(scene: Scene) -> Case:
    app, config, lost, kept, main = (
        scene.names.word(),
        scene.names.word(),
        scene.names.key(),
        scene.names.key(),
        scene.names.word(),
    )
    env = [{"name": key, "valueFrom": {"configMapKeyRef": {"name": config, "key": key}}} for key in (kept, lost)]
    spec = objects.pod_spec(objects.container(main, await scene.image(), objects.SLEEP, env=env))
    await scene.apply(
        objects.config_map(config, {lost: "one", kept: "two"}), objects.deployment(app, {"app": app}, spec)
    )
    await scene.healthy(app)
    await scene.patch("configmap", config, {"data": {lost: None}}, "merge")
    await scene.restart(app)
    await scene.waiting("CreateContainerConfigError")
    return Case(("Deployment", app), "ConfigMap", config, f"data.{lost}", "ConfigMapKeyMissing")


async def deleted_secret(scene: Scene) -> Case:
    app, name = scene.names.word(), scene.names.word()
    env_from = [{"secretRef": {"name": name}}]
    spec = objects.pod_spec(objects.container(scene.names.word(), await scene.image(), objects.SLEEP, envFrom=env_from))
    await scene.apply(
        objects.secret(name, {scene.names.key(): scene.names.word()}), objects.deployment(app, {"app": app}, spec)
    )
    await scene.healthy(app)
    await scene.run("delete", "secret", name)
    await scene.run("delete", "pods", "--all", "--now", "--wait=false")
    await scene.waiting("CreateContainerConfigError")
    return Case(("Deployment", app), "Secret", name, "", "SecretMissing")


async def image_not_pullable(scene: Scene) -> Case:
    case = await image_changed_just_now(scene)
    await scene.waiting("ErrImagePull", "ImagePullBackOff")
    return case


async def image_changed_just_now(scene: Scene) -> Case:
    """Asked about before anything can be seen: the first look only sees a rollout."""
    app, main = await _plain(scene)
    await scene.run("set", "image", f"deployment/{app}", f"{main}={scene.names.image()}")
    return Case(
        ("Deployment", app),
        "Deployment",
        app,
        f"spec.template.spec.containers[name={main}].image",
        "ImageRegistryNotFound",
    )


async def memory_limit_lowered(scene: Scene) -> Case:
    app, main = scene.names.word(), scene.names.word()
    script = f"x=$(head -c 40000000 /dev/zero | tr '\\000' a); {objects.SLEEP}"
    resources = {"requests": {"memory": "8Mi"}, "limits": {"memory": "160Mi"}}
    spec = objects.pod_spec(objects.container(main, await scene.image(), script) | {"resources": resources})
    await scene.apply(objects.deployment(app, {"app": app}, spec))
    await scene.healthy(app)
    await scene.run("set", "resources", f"deployment/{app}", f"-c={main}", "--limits=memory=20Mi")
    await scene.terminated("OOMKilled")
    return Case(
        ("Deployment", app),
        "Deployment",
        app,
        f"spec.template.spec.containers[name={main}].resources.limits.memory",
        "MemoryLimitLowered",
    )


async def env_variable_removed(scene: Scene) -> Case:
    app, main, key = scene.names.word(), scene.names.word(), scene.names.key()
    script = f'[ -n "${key}" ] || {{ echo "fatal: {key} is not set" >&2; exit 1; }}; {objects.SLEEP}'
    spec = objects.pod_spec(
        objects.container(main, await scene.image(), script, env=[{"name": key, "value": scene.names.word()}])
    )
    await scene.apply(objects.deployment(app, {"app": app}, spec))
    await scene.healthy(app)
    await scene.run("set", "env", f"deployment/{app}", f"{key}-")
    await scene.terminated("Error")
    return Case(
        ("Deployment", app),
        "Deployment",
        app,
        f"spec.template.spec.containers[name={main}].env[name={key}]",
        "EnvVariableRemoved",
    )


async def _served(scene: Scene) -> tuple[str, str, str, int]:
    """A server behind a Service, and a client that calls it: their names, and the server's port."""
    server, client, name, port = scene.names.word(), scene.names.word(), scene.names.word(), scene.names.port()
    image = await scene.image()
    ports = [{"name": "main", "containerPort": port}]
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    serving = objects.container(
        scene.names.word(), image, objects.server_script(port), ports=ports, readinessProbe=probe
    )
    calling = objects.container(scene.names.word(), image, objects.client_script(name, 80))
    await scene.apply(
        objects.deployment(server, {"app": server}, objects.pod_spec(serving)),
        objects.service(name, {"app": server}, 80, port),
        objects.deployment(client, {"app": client}, objects.pod_spec(calling)),
    )
    await scene.healthy(server, client)
    return server, client, name, port


async def selector_matches_nothing(scene: Scene) -> Case:
    _, client, name, _ = await _served(scene)
    await scene.patch("service", name, {"spec": {"selector": {"app": scene.names.word()}}})
    await scene.said(client, "failed")
    return Case(("Service", name), "Service", name, "spec.selector", "ServiceSelectorMismatch")


async def wrong_target_port(scene: Scene) -> Case:
    _, client, name, port = await _served(scene)
    ports = [{"name": "main", "port": 80, "targetPort": port + 1}]
    await scene.patch("service", name, {"spec": {"ports": ports}}, "merge")
    await scene.said(client, "failed")
    return Case(("Deployment", client), "Service", name, "spec.ports[name=main].targetPort", "ServiceTargetPortWrong")


async def scaled_to_zero_upstream(scene: Scene) -> Case:
    server, client, _, _ = await _served(scene)
    await scene.run("scale", f"deployment/{server}", "--replicas=0")
    await scene.said(client, "failed")
    return Case(("Deployment", client), "Deployment", server, "spec.replicas", "ScaledToZero")


async def _plain(scene: Scene, **more: object) -> tuple[str, str]:
    """A healthy Deployment that does nothing: its name and its container's."""
    app, main = scene.names.word(), scene.names.word()
    spec = objects.pod_spec(objects.container(main, await scene.image(), objects.SLEEP, **more))
    await scene.apply(objects.deployment(app, {"app": app}, spec))
    await scene.healthy(app)
    return app, main


async def node_selector_matches_no_node(scene: Scene) -> Case:
    app, _ = await _plain(scene)
    selector = {"nodeSelector": {scene.names.word(): scene.names.word()}}
    await scene.patch("deployment", app, {"spec": {"template": {"spec": selector}}})
    await scene.event("FailedScheduling")
    return Case(("Deployment", app), "Deployment", app, "spec.template.spec.nodeSelector", "NodeSelectorUnmatched")


async def cordoned_node(scene: Scene) -> Case:
    """Disturbs every pod of the node, so it is played alone."""
    app, _ = await _plain(scene)
    node = (await scene.pods())[0]["spec"]["nodeName"]
    scene.undo.append(("uncordon", node))
    await scene.run("cordon", node)
    await scene.run("delete", "pods", "--all", "--now", "--wait=false")
    await scene.event("FailedScheduling", "unschedulable")
    return Case(("Deployment", app), "Node", node, "spec.unschedulable", "NodeCordoned")


async def liveness_probe_on_the_wrong_port(scene: Scene) -> Case:
    port = scene.names.port()
    app, main = scene.names.word(), scene.names.word()
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 2}
    spec = objects.pod_spec(
        objects.container(main, await scene.image(), objects.server_script(port), livenessProbe=probe)
    )
    await scene.apply(objects.deployment(app, {"app": app}, spec))
    await scene.healthy(app)
    wrong = {"name": main, "livenessProbe": {"tcpSocket": {"port": port + 1}}}
    await scene.patch("deployment", app, {"spec": {"template": {"spec": {"containers": [wrong]}}}})
    await scene.event("Killing", "liveness")
    return Case(
        ("Deployment", app),
        "Deployment",
        app,
        f"spec.template.spec.containers[name={main}].livenessProbe.tcpSocket.port",
        "LivenessProbeWrong",
    )


async def quota_exceeded(scene: Scene) -> Case:
    app, _ = await _plain(scene)
    name = scene.names.word()
    await scene.apply(objects.quota(name, {"pods": "1"}))

    async def counted() -> bool:
        return "used" in (await scene.get("ResourceQuota", name)).get("status", {})

    await scene.until(counted, "the quota to be counted")
    await scene.run("scale", f"deployment/{app}", "--replicas=3")
    await scene.event("FailedCreate", "exceeded quota")
    return Case(("Deployment", app), "ResourceQuota", name, "spec.hard.pods", "QuotaExceeded")


async def storage_class_missing(scene: Scene) -> Case:
    app, main = await _plain(scene)
    name, volume = scene.names.word(), scene.names.word()
    await scene.apply(objects.claim(name, scene.names.word()))
    mounted = {
        "volumes": [{"name": volume, "persistentVolumeClaim": {"claimName": name}}],
        "containers": [{"name": main, "volumeMounts": [{"name": volume, "mountPath": "/data"}]}],
    }
    await scene.patch("deployment", app, {"spec": {"template": {"spec": mounted}}})
    await scene.event("FailedScheduling")
    await scene.event("ProvisioningFailed")
    return Case(("Deployment", app), "PersistentVolumeClaim", name, "spec.storageClassName", "StorageClassNotFound")


TOGETHER: tuple[Fault, ...] = (
    lost_config_key,
    deleted_secret,
    image_not_pullable,
    memory_limit_lowered,
    env_variable_removed,
    selector_matches_nothing,
    wrong_target_port,
    node_selector_matches_no_node,
    liveness_probe_on_the_wrong_port,
    quota_exceeded,
    storage_class_missing,
    scaled_to_zero_upstream,
)
"""Each in its own namespace, so that they run side by side."""

EARLY: tuple[Fault, ...] = (image_changed_just_now,)
"""Asked about at once, before the symptom shows."""

ALONE: tuple[Fault, ...] = (cordoned_node,)
"""Those that touch the node."""
