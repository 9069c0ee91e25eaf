"""Processes are killed where it hurts; the task still ends once, and right."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Process, Stack
from tests.e2e.tasks import Tasks, tasks_in

SPACE = "restarts"


@pytest.fixture(scope="module")
def tasks(stack: Stack, kubectl: Kubectl) -> Iterator[Tasks]:
    with tasks_in(SPACE, stack, kubectl, "idle") as tasks:
        kubectl.run("create", "deployment", "idle", "-n", SPACE, "--image=busybox", "--replicas=0")
        yield tasks


@pytest.fixture
def paused_agent(stack: Stack) -> Iterator[None]:
    """Between dispatch and reply there is time to kill somebody."""
    os.kill(stack.agent.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if stack.agent.alive:
            os.kill(stack.agent.pid, signal.SIGCONT)


def dispatched(tasks: Tasks, name: str) -> None:
    """Create a task and wait until its command is out."""
    tasks.create(name)
    tasks.stack.wait(lambda: tasks.condition(name, "Dispatched").get("status") == "True", "the dispatch", 30)


def test_a_hub_killed_between_dispatch_and_reply_ends_the_task_once_and_right(
    stack: Stack, tasks: Tasks, paused_agent: None
) -> None:
    dispatched(tasks, "hub-killed")
    stack.hub.kill()
    os.kill(stack.agent.pid, signal.SIGCONT)
    stack.hub.start()
    ended = tasks.ended("hub-killed")
    assert ended["outcome"] == "NoFaultFound"
    assert ended["usage"]["commands"] == 1, "the command was sent once"
    tasks.create("after-hub")
    tasks.ended("after-hub")
    assert tasks.status("hub-killed") == ended, "a finished task is not touched again"


def test_an_agent_killed_before_its_reply_answers_after_its_restart(
    stack: Stack, tasks: Tasks, paused_agent: None
) -> None:
    dispatched(tasks, "agent-killed")
    stack.agent.kill()
    stack.agent.start()
    assert tasks.ended("agent-killed")["outcome"] == "NoFaultFound"


def test_nats_killed_and_back_loses_no_task(stack: Stack, tasks: Tasks, paused_agent: None) -> None:
    assert stack.nats is not None
    dispatched(tasks, "nats-killed")
    stack.nats.kill()
    os.kill(stack.agent.pid, signal.SIGCONT)
    tasks.create("while-nats-is-down")
    stack.nats.start()
    assert tasks.ended("nats-killed")["outcome"] == "NoFaultFound"
    assert tasks.ended("while-nats-is-down")["outcome"] == "NoFaultFound"


def test_hub_and_agent_that_start_before_nats_wait_say_so_and_join(
    stack: Stack, kubectl: Kubectl, tasks: Tasks
) -> None:
    assert stack.nats is not None
    for process in (stack.hub, stack.agent, stack.nats):
        process.stop()
    before = {process.name: process.log.stat().st_size for process in (stack.hub, stack.agent)}
    stack.hub.start()
    stack.agent.start()

    def says_so(process: Process) -> bool:
        said = process.log.read_text()[before[process.name] :]
        return process.alive and "NATS" in said and stack.nats_url in said

    try:
        _until(lambda: says_so(stack.hub) and says_so(stack.agent), "both to say that NATS is away")
    finally:
        stack.nats.start()
    tasks.create("after-the-wait")
    assert tasks.ended("after-the-wait")["outcome"] == "NoFaultFound"
    assert not any("Traceback" in process.log.read_text() for process in (stack.hub, stack.agent))


def _until(done: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)
