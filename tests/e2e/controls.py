"""The controls: healthy or benign situations that look busy. Nothing may be reported on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.e2e import objects
from tests.e2e.scene import Scene

Control = Callable[[Scene], Awaitable[tuple[str, str]]]
"""Plays the situation and returns the kind and name to ask about."""


async def rolling_update_in_progress(scene: Scene) -> tuple[str, str]:
    app, main = scene.names.word(), scene.names.word()
    script = f"sleep 6; touch /tmp/ready; {objects.SLEEP}"
    probe = {"exec": {"command": ["test", "-f", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 30}
    spec = objects.pod_spec(objects.container(main, await scene.image(), script, readinessProbe=probe))
    await scene.apply(objects.deployment(app, {"app": app}, spec, replicas=2))
    await scene.healthy(app)
    await scene.run("set", "env", f"deployment/{app}", f"{scene.names.key()}={scene.names.word()}")

    async def under_way() -> bool:
        return len(await scene.pods()) > 2

    await scene.until(under_way, "the update to be under way")
    await scene.event("Unhealthy", "Readiness")
    return "Deployment", app


async def job_that_succeeded_after_a_retry(scene: Scene) -> tuple[str, str]:
    name, volume = scene.names.word(), scene.names.word()
    script = "if [ -f /state/tried ]; then echo done; else touch /state/tried; echo 'not yet' >&2; exit 1; fi"
    mounts = [{"name": volume, "mountPath": "/state"}]
    main = objects.container(scene.names.word(), await scene.image(), script, volumeMounts=mounts)
    await scene.apply(objects.job(name, objects.pod_spec(main, volumes=[{"name": volume, "emptyDir": {}}])))

    async def complete() -> bool:
        return bool((await scene.get("Job", name)).get("status", {}).get("succeeded"))

    await scene.until(complete, "the job to succeed")
    return "Job", name


async def suspended_cron_job(scene: Scene) -> tuple[str, str]:
    name = scene.names.word()
    main = objects.container(scene.names.word(), await scene.image(), "true")
    await scene.apply(objects.cron_job(name, objects.pod_spec(main), suspend=True))
    return "CronJob", name


async def scaled_to_zero_and_unused(scene: Scene) -> tuple[str, str]:
    app = scene.names.word()
    spec = objects.pod_spec(objects.container(scene.names.word(), await scene.image(), objects.SLEEP))
    await scene.apply(objects.deployment(app, {"app": app}, spec))
    await scene.healthy(app)
    await scene.run("scale", f"deployment/{app}", "--replicas=0")

    async def gone() -> bool:
        return not await scene.pods()

    await scene.until(gone, "the pods to be gone")
    return "Deployment", app


async def unused_config_map(scene: Scene) -> tuple[str, str]:
    app, name = scene.names.word(), scene.names.word()
    spec = objects.pod_spec(objects.container(scene.names.word(), await scene.image(), objects.SLEEP))
    await scene.apply(
        objects.config_map(name, {scene.names.key(): scene.names.word()}), objects.deployment(app, {"app": app}, spec)
    )
    await scene.healthy(app)
    return scene.names.rng.choice([("Deployment", app), ("ConfigMap", name)])


CONTROLS: tuple[Control, ...] = (
    rolling_update_in_progress,
    job_that_succeeded_after_a_retry,
    suspended_cron_job,
    scaled_to_zero_and_unused,
    unused_config_map,
)
