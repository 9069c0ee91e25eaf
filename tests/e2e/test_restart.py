"""Processes are killed where it hurts; the task still ends once, and right."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack

SPACE = "restarts"


@pytest.fixture(scope="module")
def space(stack: Stack, kubectl: Kubectl) -> Iterator[str]:
    kubectl.run("create", "namespace", SPACE)
    kubectl.run("create", "deployment", "idle", "-n", SPACE, "--image=busybox", "--replicas=0")
    yield SPACE
    kubectl.run("delete", "namespace", SPACE, "--wait=false")


def create(kubectl: Kubectl, name: str) -> None:
    body = {
        "apiVersion": "kubeagent.io/v1",
        "kind": "DiagnosisTask",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"target": {"kind": "Deployment", "name": "idle"}},
    }
    kubectl.run("create", "-f", "-", stdin=json.dumps(body))


def status(kubectl: Kubectl, name: str) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", "dt", name, "-n", SPACE).get("status", {})
    return found


def condition(kubectl: Kubectl, name: str, type_: str) -> dict[str, Any]:
    return next((each for each in status(kubectl, name).get("conditions", []) if each["type"] == type_), {})


def wait_for_the_end(stack: Stack, kubectl: Kubectl, name: str) -> dict[str, Any]:
    stack.wait(lambda: "completionTime" in status(kubectl, name), f"{name} to end", 90)
    return status(kubectl, name)


@pytest.fixture
def paused_agent(stack: Stack) -> Iterator[None]:
    """Between dispatch and reply there is time to kill somebody."""
    os.kill(stack.agent.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if stack.agent.alive:
            os.kill(stack.agent.pid, signal.SIGCONT)


def test_a_hub_killed_between_dispatch_and_reply_ends_the_task_once_and_right(
    stack: Stack, kubectl: Kubectl, space: str, paused_agent: None
) -> None:
    create(kubectl, "hub-killed")
    stack.wait(lambda: condition(kubectl, "hub-killed", "Dispatched").get("status") == "True", "the dispatch", 30)
    stack.hub.kill()
    os.kill(stack.agent.pid, signal.SIGCONT)
    stack.hub.start()
    ended = wait_for_the_end(stack, kubectl, "hub-killed")
    assert ended["outcome"] == "NoFaultFound"
    assert ended["usage"]["commands"] == 1, "the command was sent once"
    create(kubectl, "after-hub")
    wait_for_the_end(stack, kubectl, "after-hub")
    assert status(kubectl, "hub-killed") == ended, "a finished task is not touched again"


def test_an_agent_killed_before_its_reply_answers_after_its_restart(
    stack: Stack, kubectl: Kubectl, space: str, paused_agent: None
) -> None:
    create(kubectl, "agent-killed")
    stack.wait(lambda: condition(kubectl, "agent-killed", "Dispatched").get("status") == "True", "the dispatch", 30)
    stack.agent.kill()
    stack.agent.start()
    assert wait_for_the_end(stack, kubectl, "agent-killed")["outcome"] == "NoFaultFound"


def test_nats_killed_and_back_loses_no_task(stack: Stack, kubectl: Kubectl, space: str, paused_agent: None) -> None:
    assert stack.nats is not None
    create(kubectl, "nats-killed")
    stack.wait(lambda: condition(kubectl, "nats-killed", "Dispatched").get("status") == "True", "the dispatch", 30)
    stack.nats.kill()
    os.kill(stack.agent.pid, signal.SIGCONT)
    create(kubectl, "while-nats-is-down")
    stack.nats.start()
    assert wait_for_the_end(stack, kubectl, "nats-killed")["outcome"] == "NoFaultFound"
    assert wait_for_the_end(stack, kubectl, "while-nats-is-down")["outcome"] == "NoFaultFound"
