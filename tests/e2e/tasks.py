"""DiagnosisTasks as a person handles them: created, looked at and waited for with kubectl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack


class Tasks:
    """Creating tasks and reading their conditions, with kubectl."""

    def __init__(self, stack: Stack, kubectl: Kubectl, namespace: str, target: str = "nothing") -> None:
        self.stack = stack
        self.kubectl = kubectl
        self.namespace = namespace
        self.target = target

    def create(self, name: str, **spec: Any) -> None:
        body = {
            "apiVersion": "kubeagent.io/v1",
            "kind": "DiagnosisTask",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"target": {"kind": "Deployment", "name": self.target}, **spec},
        }
        self.kubectl.run("create", "-f", "-", stdin=json.dumps(body))

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.json("get", "dt", name, "-n", self.namespace).get("status", {})
        return found

    def condition(self, name: str, type_: str) -> dict[str, Any]:
        return next((each for each in self.status(name).get("conditions", []) if each["type"] == type_), {})

    def until(self, name: str, type_: str, reason: str, seconds: float = 30) -> dict[str, Any]:
        """The condition, once it has this reason."""
        self.stack.wait(
            lambda: self.condition(name, type_).get("reason") == reason, f"{name}: {type_} {reason}", seconds
        )
        return self.condition(name, type_)

    def ended(self, name: str, seconds: float = 90) -> dict[str, Any]:
        """The status, once the task has ended."""
        self.stack.wait(lambda: "completionTime" in self.status(name), f"{name} to end", seconds)
        return self.status(name)


@contextmanager
def tasks_in(namespace: str, stack: Stack, kubectl: Kubectl, target: str = "nothing") -> Iterator[Tasks]:
    """A namespace of its own for the length of the block, and tasks in it about the Deployment `target`."""
    kubectl.run("create", "namespace", namespace)
    yield Tasks(stack, kubectl, namespace, target)
    kubectl.run("delete", "namespace", namespace, "--wait=false")
