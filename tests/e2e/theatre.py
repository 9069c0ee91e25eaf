"""Plays scenes side by side, asks about each, and looks every evidence line up again in the cluster.

One event loop plays them all, because most of a scene is waiting for a kubelet; the tests only read the results. What
a scene raised is kept and raised again in its own test.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kubeagent.cli.kubectl import Kubectl
from kubeagent.kube.client import connect
from kubeagent.kube.port import Reader
from tests.cluster import Rung
from tests.e2e.scene import Names, Object, Scene
from tests.e2e.witness import unfound

AT_ONCE = 6
KUBECTLS = 3


@dataclass
class Result:
    """What came of one scene."""

    name: str
    case: Any = None
    task: Object = field(default_factory=dict)
    unfound: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def status(self) -> Object:
        """The task's status."""
        status: Object = self.task.get("status", {})
        return status


@dataclass
class Theatre:
    """The cluster to play on, and the seed that names come from."""

    cluster: Rung
    kubectl: Kubectl
    seed: int

    def play(
        self, scenes: Iterable[Callable[[Scene], Awaitable[Any]]], ask: Callable[[Scene, Any], Awaitable[Object]]
    ) -> dict[str, Result]:
        """Play them all; results by the scene's name."""
        return asyncio.run(self._play(list(scenes), ask))

    async def _play(
        self, scenes: list[Callable[[Scene], Awaitable[Any]]], ask: Callable[[Scene, Any], Awaitable[Object]]
    ) -> dict[str, Result]:
        places = asyncio.Semaphore(AT_ONCE)
        async with connect() as api:
            gate = asyncio.Semaphore(KUBECTLS)
            played = [self._one(scene, ask, self._scene(scene.__name__, api, gate), places) for scene in scenes]
            return {result.name: result for result in await asyncio.gather(*played)}

    def _scene(self, name: str, api: Reader, gate: asyncio.Semaphore) -> Scene:
        names = Names(random.Random(f"{self.seed}/{name}"))
        return Scene(names.word(), names, api, self.kubectl, self.cluster, gate)

    async def _one(
        self,
        play: Callable[[Scene], Awaitable[Any]],
        ask: Callable[[Scene, Any], Awaitable[Object]],
        scene: Scene,
        places: asyncio.Semaphore,
    ) -> Result:
        result = Result(play.__name__)
        async with places:
            try:
                await scene.open()
                result.case = await play(scene)
                result.task = await ask(scene, result.case)
                result.unfound = await unfound(scene, result.status)
            except Exception:
                result.error = traceback.format_exc()
            finally:
                await scene.close()
        return result
