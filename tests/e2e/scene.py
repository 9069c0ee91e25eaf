"""A scene: one namespace with names drawn afresh, in which a fault is played and a question asked.

Changes go through kubectl, as people make them (an `apply` leaves its last-applied annotation, a `patch` its manager);
waiting goes through our own Kubernetes adapter, because hundreds of kubectl processes would starve two cores.
"""

from __future__ import annotations

import asyncio
import json
import random
import string
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from kubeagent.cli.kubectl import Kubectl
from kubeagent.errors import NotFound
from kubeagent.kube.port import Reader
from kubeagent.protocol import kinds
from kubeagent.protocol.reads import Get, List, Log
from kubeagent.resources.refs import ObjectKey
from tests.cluster import LocalCluster, Rung

Object = dict[str, Any]
TASKS = "kubeagent.io/v1"


class Names:
    """Words, keys, ports and images that no rule can have been written for."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def word(self) -> str:
        """A pronounceable name such as `tavoqi-lu`."""
        syllables = [self.rng.choice("bdfgklmnprstvz") + self.rng.choice("aeiou") for _ in range(4)]
        return "".join(syllables[:3]) + "-" + syllables[3] + str(self.rng.randrange(10))

    def key(self) -> str:
        """An environment key such as `QUVA_ZOR`."""
        letters = [self.rng.choice(string.ascii_uppercase) for _ in range(7)]
        return "".join(letters[:4]) + "_" + "".join(letters[4:])

    def port(self) -> int:
        """A port above the well-known ones."""
        return self.rng.randrange(2000, 30_000)

    def image(self) -> str:
        """An image of a registry that does not exist."""
        return f"{self.word()}.example/{self.word()}:{self.rng.randrange(1, 9)}.{self.rng.randrange(20)}"


@dataclass
class Scene:
    """A namespace, and what is done and asked in it."""

    namespace: str
    names: Names
    api: Reader
    kubectl: Kubectl
    cluster: Rung
    gate: asyncio.Semaphore
    undo: list[tuple[str, ...]] = field(default_factory=list)

    async def run(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in this namespace; a few at a time."""
        async with self.gate:
            return await asyncio.to_thread(self.kubectl.run, "-n", self.namespace, *arguments, stdin=stdin)

    async def open(self) -> None:
        """Make the namespace and wait for its default ServiceAccount."""
        await self.run("create", "namespace", self.namespace)
        await self.until(lambda: self.exists("ServiceAccount", "default"), "the default ServiceAccount")

    async def close(self) -> None:
        """Take back what reaches beyond the namespace, and remove it; nobody waits for that."""
        for arguments in self.undo:
            await self.run(*arguments)
        await self.run("delete", "namespace", self.namespace, "--wait=false", "--now")

    async def image(self) -> str:
        """A fresh image name that the node has; on a cluster of somebody else's, one from its registry."""
        if not isinstance(self.cluster, LocalCluster):
            return "busybox:1.36"
        tag = self.names.image()
        await asyncio.to_thread(self.cluster.import_image, tag)
        return tag

    async def apply(self, *bodies: Object) -> None:
        """`kubectl apply`, as people do: it leaves a last-applied annotation."""
        await self.run(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(bodies)})
        )

    async def patch(self, kind: str, name: str, patch: Any, how: str = "strategic") -> None:
        """`kubectl patch`: a strategic, merge or json patch."""
        await self.run("patch", kind, name, f"--type={how}", "-p", json.dumps(patch))

    async def get(self, kind: str, name: str) -> Object:
        """One object of this namespace, or of the cluster."""
        row = kinds.by_kind(kind)
        api_version, namespaced = (row.api_version, row.namespaced) if row else (TASKS, True)
        return await self.api.get(Get(ObjectKey(api_version, kind, self.namespace if namespaced else "", name)))

    async def exists(self, kind: str, name: str) -> bool:
        try:
            await self.get(kind, name)
        except NotFound:
            return False
        return True

    async def all(self, kind: str, selector: dict[str, str] | None = None) -> list[Object]:
        """The objects of a kind in this namespace."""
        row = kinds.by_kind(kind)
        assert row is not None, kind
        text = ",".join(f"{key}={value}" for key, value in (selector or {}).items())
        return (await self.api.list(List(row.api_version, kind, self.namespace, text))).objects

    async def pods(self) -> list[Object]:
        return await self.all("Pod")

    async def log(self, pod: str, *, container: str = "", previous: bool = False) -> str:
        return await self.api.log(Log(self.namespace, pod, container, previous=previous, tail_lines=1000))

    async def until(self, done: Callable[[], Awaitable[bool]], what: str, seconds: float = 60) -> None:
        """Poll until it is so."""
        deadline = time.monotonic() + seconds
        while not await done():
            if time.monotonic() > deadline:
                pods = [(each["metadata"]["name"], each.get("status")) for each in await self.pods()]
                raise AssertionError(f"{self.namespace}: waited {seconds:.0f} s for {what}; pods: {pods}")
            await asyncio.sleep(0.25)

    async def healthy(self, *names: str) -> None:
        """Until these Deployments are rolled out and available."""

        async def done() -> bool:
            return all([_rolled_out(await self.get("Deployment", name)) for name in names])

        await self.until(done, f"{', '.join(names)} to be healthy")

    async def restart(self, name: str) -> None:
        """`kubectl rollout restart`."""
        await self.run("rollout", "restart", f"deployment/{name}")

    async def waiting(self, *reasons: str) -> None:
        """Until a container waits for one of these reasons."""

        async def done() -> bool:
            return any(
                state.get("waiting", {}).get("reason") in reasons for state in _states(await self.pods(), "state")
            )

        await self.until(done, f"a container waiting with {' or '.join(reasons)}", 90)

    async def terminated(self, reason: str, times: int = 1) -> None:
        """Until containers ended that often, at least once for this reason."""

        async def done() -> bool:
            pods = await self.pods()
            ends = [state.get("terminated", {}).get("reason") for state in _states(pods, "state", "lastState")]
            restarts = sum(each.get("restartCount", 0) for each in _statuses(pods))
            return reason in ends and restarts >= times

        await self.until(done, f"a container that ended with {reason}", 90)

    async def event(self, reason: str, *words: str) -> None:
        """Until an event with this reason and these words was recorded."""

        async def done() -> bool:
            return any(
                each.get("reason") == reason and all(word in each.get("message", "") for word in words)
                for each in await self.all("Event")
            )

        await self.until(done, f"event {reason} {' '.join(words)}", 90)

    async def said(self, name: str, *words: str) -> None:
        """Until a pod of the workload logged one of these words."""

        async def done() -> bool:
            for pod in await self.pods():
                if pod["metadata"]["name"].startswith(name) and _started(pod):
                    text = await self.log(pod["metadata"]["name"])
                    if any(word in text for word in words):
                        return True
            return False

        await self.until(done, f"{name} to log {' or '.join(words)}")

    async def ask(self, kind: str, name: str, **spec: Any) -> Object:
        """Create a DiagnosisTask about the object, and wait until it has ended."""
        return await self.ended(await self.create_task(kind, name, **spec))

    async def create_task(self, kind: str, name: str, **spec: Any) -> str:
        """Create a DiagnosisTask; its name."""
        task = f"why-{self.names.word()}"
        body = {
            "apiVersion": TASKS,
            "kind": "DiagnosisTask",
            "metadata": {"name": task},
            "spec": {"target": {"kind": kind, "name": name}, **spec},
        }
        await self.run("create", "-f", "-", stdin=json.dumps(body))
        return task

    async def ended(self, task: str, seconds: float = 60) -> Object:
        """The task, once it has ended."""

        async def done() -> bool:
            return "completionTime" in (await self.get("DiagnosisTask", task)).get("status", {})

        await self.until(done, f"task {task} to end", seconds)
        return await self.get("DiagnosisTask", task)


def _rolled_out(body: Object) -> bool:
    spec, status = body["spec"], body.get("status", {})
    wanted = spec.get("replicas", 1)
    return bool(
        status.get("observedGeneration") == body["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )


def _statuses(pods: list[Object]) -> list[Object]:
    return [each for pod in pods for each in pod.get("status", {}).get("containerStatuses", [])]


def _states(pods: list[Object], *fields: str) -> list[Object]:
    return [each.get(name, {}) for each in _statuses(pods) for name in fields]


def _started(pod: Object) -> bool:
    return any("running" in each.get("state", {}) or each.get("restartCount") for each in _statuses([pod]))
