"""Bad input, late and foreign replies, absent clusters: each ends in a condition that a person understands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack
from kubeagent.errors import ClusterError
from tests.e2e.seed_agent import SeedAgent
from tests.e2e.tasks import Tasks, tasks_in

SPACE = "bad-input"
GUARD_CACHE = 3


@pytest.fixture(scope="module")
def tasks(stack: Stack, kubectl: Kubectl, silent_cluster: SeedAgent) -> Iterator[Tasks]:
    with tasks_in(SPACE, stack, kubectl) as tasks:
        yield tasks


def test_a_target_that_does_not_exist_is_an_answer_with_the_closest_names(tasks: Tasks, kubectl: Kubectl) -> None:
    kubectl.run("create", "deployment", "checkout", "-n", SPACE, "--image=busybox", "--replicas=0")
    tasks.create("typo", target={"kind": "Deployment", "name": "chekout"})
    ended = tasks.until("typo", "Succeeded", "TargetNotFound")
    assert (ended["status"], tasks.status("typo")["outcome"]) == ("True", "Undetermined")
    assert "checkout" in ended["message"]


def test_a_kind_that_does_not_exist_is_an_answer_too(tasks: Tasks) -> None:
    tasks.create("kind", target={"kind": "Deploymint", "name": "checkout"})
    tasks.until("kind", "Succeeded", "TargetNotFound")
    assert tasks.status("kind")["outcome"] == "Undetermined"


def test_an_unknown_cluster_is_named_and_tried_until_the_time_is_up(tasks: Tasks) -> None:
    tasks.create("nowhere", cluster="atlantis", timeoutSeconds=4)
    assert "atlantis" in tasks.until("nowhere", "Dispatched", "ClusterNotFound")["message"]
    ended = tasks.until("nowhere", "Succeeded", "Timeout")
    assert ended["status"] == "False"
    assert "atlantis" in ended["message"], "the last obstacle is repeated"
    assert tasks.status("nowhere")["phase"] == "Failed"


def test_a_cluster_that_nobody_accepted_gets_no_command(tasks: Tasks, stack: Stack, kubectl: Kubectl) -> None:
    stranger = SeedAgent("stranger", stack.nats_url)
    stranger.register()
    stack.wait(lambda: "stranger" in kubectl.run("get", "kmc", "-o", "name"), "stranger to register", 20)
    stranger.beat()
    tasks.create("not-accepted", cluster="stranger", timeoutSeconds=4)
    assert (
        "kubeagent cluster accept stranger"
        in tasks.until("not-accepted", "Dispatched", "ClusterNotAccepted")["message"]
    )
    tasks.until("not-accepted", "Succeeded", "Timeout")


def test_cancelling_ends_a_task(tasks: Tasks, kubectl: Kubectl) -> None:
    tasks.create("cancelled", cluster="atlantis")
    tasks.until("cancelled", "Dispatched", "ClusterNotFound")
    kubectl.run("patch", "dt", "cancelled", "-n", SPACE, "--type=merge", "-p", '{"spec":{"cancel":true}}')
    assert tasks.until("cancelled", "Succeeded", "Cancelled")["status"] == "False"
    assert tasks.status("cancelled")["phase"] == "Cancelled"


def test_a_finished_task_is_removed_when_its_time_to_live_is_over(tasks: Tasks, stack: Stack, kubectl: Kubectl) -> None:
    tasks.create("short-lived", ttlSecondsAfterFinished=1)
    stack.wait(
        lambda: not kubectl.run("get", "dt", "short-lived", "-n", SPACE, "--ignore-not-found"), "the TTL to pass", 30
    )


def test_roles_that_are_not_installed_are_named_and_do_not_fail_the_task(tasks: Tasks) -> None:
    tasks.create("roles", agents=["diagnostician", "remediator", "cost"], autoRemediate=True)
    missing = tasks.until("roles", "AgentsAvailable", "AgentNotAvailable")
    assert "remediator" in missing["message"]
    assert "cost" in missing["message"]
    assert tasks.until("roles", "Succeeded", "TargetNotFound")["status"] == "True"


GARBAGE = [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"command_id":1}', b"\x78\x01broken", b"{" * 5000, b"x" * 200_000]


def test_garbage_on_every_subject_changes_nothing(tasks: Tasks, stack: Stack) -> None:
    local, foreign = SeedAgent("local", stack.nats_url), SeedAgent("stranger", stack.nats_url)
    for body in GARBAGE:
        for channel in ("register", "heartbeat", "event", "metrics", "result", "command"):
            local.say(channel, body)
            foreign.say(channel, body)
    tasks.create("after-garbage")
    tasks.until("after-garbage", "Succeeded", "TargetNotFound")


def test_a_result_from_another_cluster_or_after_the_end_changes_nothing(
    tasks: Tasks, stack: Stack, kubectl: Kubectl
) -> None:
    tasks.create("settled")
    tasks.until("settled", "Succeeded", "TargetNotFound")
    before = kubectl.json("get", "dt", "settled", "-n", SPACE)
    forged = {
        "command_id": f"{before['metadata']['uid']}-evidence-1",
        "cluster_id": "local",
        "status": "success",
        "output": "all is well",
    }
    for cluster_id in ("local", "stranger"):
        SeedAgent(cluster_id, stack.nats_url).say("result", json.dumps(forged).encode())
    tasks.create("next")
    tasks.until("next", "Succeeded", "TargetNotFound")
    after = kubectl.json("get", "dt", "settled", "-n", SPACE)
    assert after["status"] == before["status"]


def test_an_agent_that_only_speaks_the_seeds_protocol_is_not_asked_for_what_it_cannot(
    tasks: Tasks, stack: Stack, kubectl: Kubectl
) -> None:
    SeedAgent("stranger", stack.nats_url).beat()
    kubectl.run("patch", "kmc", "stranger", "--type=merge", "-p", '{"spec":{"accepted":true}}')
    SeedAgent("stranger", stack.nats_url).beat()
    tasks.create("seed-agent", cluster="stranger")
    tasks.until("seed-agent", "Diagnosed", "AgentCapabilityMissing")
    assert tasks.status("seed-agent")["outcome"] == "Undetermined"


def test_a_second_cluster_cannot_take_the_name_local(stack: Stack, kubectl: Kubectl) -> None:
    before = kubectl.json("get", "kmc", "local")["status"]["clusterUID"]
    info = {"cluster_id": "local", "version": "v1", "capabilities": [], "cluster_uid": "somebody-else"}
    SeedAgent("local", stack.nats_url).say("register", json.dumps(info).encode())
    time.sleep(1)
    assert kubectl.json("get", "kmc", "local")["status"]["clusterUID"] == before


def test_the_scope_guard_missing_stops_dispatching_until_it_is_back(
    tasks: Tasks, stack: Stack, kubectl: Kubectl
) -> None:
    from kubeagent.cli.stack import install

    kubectl.run("delete", "validatingadmissionpolicybinding", "kubeagent-task-scope")
    time.sleep(GUARD_CACHE)
    try:
        tasks.create("unguarded", timeoutSeconds=100)
        tasks.until("unguarded", "Dispatched", "ScopeGuardMissing", 60)
    finally:
        install(kubectl)
    tasks.until("unguarded", "Succeeded", "TargetNotFound", 90)


def test_nothing_of_all_this_ended_a_process(stack: Stack) -> None:
    assert all(process.alive for process in stack.processes)
    for process in (stack.hub, stack.agent):
        assert "Traceback" not in process.log.read_text()


def test_kubectl_says_what_is_wrong_with_a_spec(tasks: Tasks) -> None:
    with pytest.raises(ClusterError, match=r"target\.name is required"):
        tasks.create("wrong", target={"kind": "Pod"})
