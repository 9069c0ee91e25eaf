"""Whether the admission policy that limits tasks is in force: without it the hub dispatches nothing.

Who may look where was decided at admission by `kubeagent-task-scope`, from permissions that the hub cannot see
afterwards. So the hub reads that policy and its binding, live, and compares them with what it knows they must say.
The API server adds defaults: those and what is empty are left out on both sides before comparing. Unreadable counts
as missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from kubeagent.errors import KubeAgentError
from kubeagent.hub.clock import Clock
from kubeagent.hub.store import Kube, read
from kubeagent.resources.refs import ObjectKey

log = structlog.get_logger()

CACHED: Final = timedelta(seconds=2)
"""Long enough for a burst of tasks, short enough that a removed guard stops the next one."""

_DEFAULTS: Final = {"matchPolicy": "Equivalent", "scope": "*", "parameterNotFoundAction": "Allow"}
_POLICY: Final = "ValidatingAdmissionPolicy"
_BINDING: Final = "ValidatingAdmissionPolicyBinding"


class Guard(Protocol):
    """Says whether tasks are limited to what their authors may see."""

    async def in_force(self) -> bool:
        """Whether the guard holds now."""
        ...


class NoGuard:
    """The guard is switched off by setting: a laptop, a test."""

    async def in_force(self) -> bool:
        """As if it held."""
        return True


class ScopeGuard:
    """Reads the policy and its binding, and remembers the answer for a while."""

    def __init__(self, kube: Kube, policies: Sequence[Mapping[str, Any]], name: str, clock: Clock) -> None:
        self._kube = kube
        self._expected = [each for each in policies if each["metadata"]["name"] == name]
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until: datetime | None = None
        self._answer = False

    async def in_force(self) -> bool:
        """Whether the guard holds; at most 2 s old."""
        async with self._lock:
            now = self._clock()
            if self._until is None or now >= self._until:
                problem = await self._problem()
                self._report(problem)
                self._answer = not problem
                self._until = now + CACHED
            return self._answer

    async def _problem(self) -> str:
        """What is wrong; "" if nothing is."""
        kinds = {str(each["kind"]) for each in self._expected}
        if kinds != {_POLICY, _BINDING}:
            return "the hub does not know what the policy must be"
        for manifest in self._expected:
            problem = await self._difference(manifest)
            if problem:
                return problem
        return ""

    async def _difference(self, manifest: Mapping[str, Any]) -> str:
        key = ObjectKey(manifest["apiVersion"], manifest["kind"], "", manifest["metadata"]["name"])
        try:
            live = await read(self._kube, key)
        except KubeAgentError as exc:
            return f"{key}: {exc.code} {exc.message}"
        if live.get("metadata", {}).get("deletionTimestamp"):
            return f"{key} is being deleted"
        return "" if holds(manifest, live) else f"{key} is altered"

    def _report(self, problem: str) -> None:
        if problem and (self._answer or self._until is None):
            log.error("the scope guard is not in force; nothing is dispatched", reason=problem)
        elif not problem and not self._answer and self._until is not None:
            log.info("the scope guard is in force again")


def holds(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether the live policy or binding does all that the manifest does, to all that it does it to."""
    wanted, found = dict(manifest["spec"]), dict(live.get("spec") or {})
    if manifest["kind"] == _BINDING:
        if "Deny" not in (found.pop("validationActions", None) or ()):
            return False
        wanted.pop("validationActions", None)
    return bool(_normal(wanted) == _normal(found))


def _normal(value: Any) -> Any:
    """The value without defaults and without what is empty."""
    if isinstance(value, Mapping):
        kept = {key: _normal(each) for key, each in value.items() if _DEFAULTS.get(key) != each}
        return {key: each for key, each in kept.items() if each not in ({}, [], "", None)}
    if isinstance(value, list | tuple):
        return [_normal(each) for each in value]
    return value.strip() if isinstance(value, str) else value
