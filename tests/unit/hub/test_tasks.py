"""Tasks over a fake API server and bus: observe, decide, perform, write; and everything that may happen in between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from kubeagent.errors import BusUnavailable, ClusterUnavailable, Conflict, QueueFull
from kubeagent.hub.dispatch import ACTION
from kubeagent.hub.tasks import Answer
from kubeagent.kube.port import Object
from kubeagent.protocol.evidence import Evidence
from kubeagent.protocol.messages import HEADER_CLUSTER_UID, HEADER_MSG_ID, HEADER_PROTOCOL, HEADER_TTL
from kubeagent.resources.refs import ObjectKey
from tests.fakes.kube import FakeCluster
from tests.unit.hub.given import (
    EU_UID,
    FIRST,
    HEALTHY,
    NOT_FOUND,
    NOW,
    SECOND,
    UID,
    World,
    conditions,
    evidence,
    message,
    seconds,
    task_body,
)

GOOD = Answer(FIRST, "success", evidence=evidence(), size=100)


async def answer(world: World, given: Answer = GOOD) -> None:
    entry = world.hub.tasks.book.get(UID)
    assert entry is not None
    await world.hub.tasks.answered(entry, given)


async def test_from_apply_to_verdict_in_two_writes() -> None:
    world = World()
    await world.has_cluster()
    created = world.kube._version + 1

    applied = await world.apply()
    assert applied["status"]["phase"] == "Diagnosing"
    await answer(world)
    done = world.stored()

    assert done["status"]["phase"] == "Succeeded"
    assert done["status"]["outcome"] == "RootCauseFound"
    assert done["status"]["rootCause"]["reason"] == "ConfigMapKeyMissing"
    assert int(done["metadata"]["resourceVersion"]) == created + 2
    assert world.judged == [evidence()]


async def test_the_command_as_it_is_sent() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()

    [command] = world.commands()
    sent = world.bus.sent[-1]
    assert (command.id, command.action, command.cluster_uid) == (FIRST, ACTION, EU_UID)
    assert command.expires_at == NOW + seconds(30)
    assert command.evidence is not None
    assert sent.subject == "agent.command.prod-eu"
    assert sent.headers == {
        HEADER_MSG_ID: FIRST,
        HEADER_TTL: "30",
        HEADER_PROTOCOL: "1",
        HEADER_CLUSTER_UID: EU_UID,
    }
    assert ("KA_COMMANDS", "prod-eu") in world.broker.queues


async def test_seeing_the_same_or_an_older_body_again_does_nothing() -> None:
    world = World()
    await world.has_cluster()
    old = world.kube.add(task_body())
    await world.hub.tasks.seen(old)
    version = world.stored()["metadata"]["resourceVersion"]
    for body in (world.stored(), old):
        await world.hub.tasks.seen(body)

    assert world.stored()["metadata"]["resourceVersion"] == version
    assert len(world.commands()) == 1


async def test_killed_between_publish_and_record() -> None:
    """The next hub sends the same command again, and the stream drops it."""
    world = World()
    await world.has_cluster()
    body = world.kube.add(task_body())
    world.kube.patch = broken(world.kube, ClusterUnavailable("killed here"))  # type: ignore[method-assign]
    await world.hub.tasks.seen(body)
    assert len(world.commands()) == 1
    assert "status" not in world.stored()

    del world.kube.patch
    world.hub = world.new_hub()
    await world.hub.clusters.seen(world.cluster())
    world.beat()
    await world.hub.tasks.seen(world.stored())

    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")
    assert [each.id for each in world.commands()] == [FIRST, FIRST]
    assert len(world.broker.logs["KA_COMMANDS"].stored) == 1


def broken(kube: FakeCluster, error: Exception, times: int = 10**6) -> Any:
    """A patch that fails a number of times."""
    left = times

    async def patch(key: ObjectKey, patch: Mapping[str, Any], *, subresource: str = "") -> Object:
        nonlocal left
        if left > 0 and key.kind == "DiagnosisTask":
            left -= 1
            raise error
        return await FakeCluster.patch(kube, key, patch, subresource=subresource)

    return patch


async def test_a_failed_write_is_tried_again_later() -> None:
    world = World()
    await world.has_cluster()
    world.kube.patch = broken(world.kube, ClusterUnavailable("down"), times=2)  # type: ignore[method-assign]
    await world.apply()
    for _ in range(3):
        world.clock.forward(3)
        await world.hub.sweep()
    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")
    assert len(world.broker.logs["KA_COMMANDS"].stored) <= 1


async def test_a_conflict_is_read_and_decided_again() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    key = world.hub.tasks.book.get(UID)
    assert key is not None
    await world.kube.patch(key.key, {"spec": {"ttlSecondsAfterFinished": 60}})  # somebody was faster

    await answer(world)

    done = world.stored()
    assert done["status"]["phase"] == "Succeeded"
    assert done["status"]["observedGeneration"] == done["metadata"]["generation"] == 2
    assert done["spec"]["ttlSecondsAfterFinished"] == 60


async def test_a_cancel_that_wins_the_race_is_kept() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    entry = world.hub.tasks.book.get(UID)
    assert entry is not None
    await world.kube.patch(entry.key, {"spec": {"cancel": True}})

    await answer(world)

    assert world.stored()["status"]["phase"] == "Cancelled"
    assert "rootCause" not in world.stored()["status"]


async def test_conflicts_without_end_are_an_error_for_whoever_holds_the_message() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    world.kube.patch = broken(world.kube, Conflict("again"))  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await answer(world)


async def test_a_late_and_a_double_answer_change_nothing() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    await answer(world)
    done = world.stored()
    world.verdict = HEALTHY

    await answer(world)
    await answer(world, Answer(SECOND, "success", evidence=evidence()))

    assert world.stored() == done
    assert len(world.judged) == 1


@pytest.mark.parametrize(
    ("given", "collected"),
    [
        (Answer(FIRST, problem="truncated zlib payload"), "BadReply"),
        (Answer(FIRST, "success"), "BadReply"),
        (Answer(FIRST, "success", evidence=evidence(schema=99)), "BadReply"),
        (Answer(FIRST, "success", evidence=evidence(cluster_uid="another")), "BadReply"),
        (Answer(FIRST, "success", evidence=evidence(target=ObjectKey("v1", "Pod", "shop", "x"))), "BadReply"),
        (Answer(FIRST, "error", "KA-CLUSTER-DOWN", "503"), "EvidenceFailed"),
        (Answer(FIRST, "expired"), "CommandExpired"),
    ],
)
async def test_a_useless_reply_is_recorded_and_the_command_sent_again(given: Answer, collected: str) -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    await answer(world, given)
    assert conditions(world.stored())["EvidenceCollected"] == ("False", collected)
    assert world.stored()["status"]["phase"] == "Diagnosing"

    world.clock.forward(2)
    await world.hub.sweep()
    assert [each.id for each in world.commands()] == [FIRST, SECOND]
    await answer(world, Answer(SECOND, "success", evidence=evidence()))
    assert world.stored()["status"]["phase"] == "Succeeded"
    assert world.stored()["status"]["usage"]["commands"] == 2


async def test_a_kind_that_the_agent_knows_to_have_no_namespace_is_still_the_target() -> None:
    world = World()
    await world.has_cluster()
    await world.apply(target={"kind": "Widget", "name": "w"})
    found = evidence(target=ObjectKey("example.org/v1", "Widget", "", "w"))
    await answer(world, Answer(FIRST, "success", evidence=found))
    assert world.stored()["status"]["phase"] == "Succeeded"


async def test_a_missing_target_is_an_answer() -> None:
    world = World(verdict=NOT_FOUND)
    await world.has_cluster()
    await world.apply()
    await answer(world)
    assert conditions(world.stored())["Succeeded"] == ("True", "TargetNotFound")
    assert "did you mean checkout?" in message(world.stored(), "Succeeded")


async def test_an_engine_that_fails_is_a_verdict_too() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()

    def fail(_: Evidence) -> Any:
        raise ZeroDivisionError

    world.hub.tasks._judging._judge = fail
    await answer(world)
    assert conditions(world.stored())["Diagnosed"] == ("False", "EngineFailed")


async def test_an_unknown_cluster_until_it_is_there() -> None:
    world = World()
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "ClusterNotFound")
    assert world.stored()["status"]["phase"] == "Pending"

    await world.has_cluster()
    await world.hub.sweep()
    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")


async def test_accepting_a_cluster_lets_its_tasks_go() -> None:
    world = World()
    await world.has_cluster(accepted=False)
    await world.apply()
    assert "kubeagent cluster accept prod-eu" in message(world.stored(), "Dispatched")
    assert not world.commands()

    accepted = await world.kube.patch(
        ObjectKey("kubeagent.io/v1", "ManagedCluster", "", "prod-eu"), {"spec": {"accepted": True}}
    )
    await world.hub.clusters.seen(accepted)
    await world.hub.sweep()
    assert len(world.commands()) == 1


async def test_a_cluster_that_comes_back_gets_its_commands() -> None:
    world = World()
    await world.has_cluster()
    world.clock.forward(91)
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("Unknown", "AgentSilent")
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "ClusterOffline")

    world.beat()
    await world.hub.sweep()
    await world.hub.sweep()
    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")


async def test_what_is_sent_follows_the_cluster_as_it_is_now() -> None:
    """A pause that this hub was never shown is honoured all the same."""
    world = World()
    await world.has_cluster()
    await world.kube.patch(ObjectKey("kubeagent.io/v1", "ManagedCluster", "", "prod-eu"), {"spec": {"paused": True}})
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "ClusterPaused")
    assert not world.commands()


async def test_without_the_guard_nothing_goes_out_until_it_is_back() -> None:
    world = World()
    world.guard.holds = False
    await world.has_cluster()
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "ScopeGuardMissing")
    assert not world.commands()

    world.guard.holds = True
    world.clock.forward(15)
    await world.hub.sweep()
    assert len(world.commands()) == 1


@pytest.mark.parametrize("error", [QueueFull("200 wait"), BusUnavailable("gone")])
async def test_a_bus_that_refuses_is_an_obstacle(error: Exception) -> None:
    world = World()
    await world.has_cluster()

    async def refuse(*_: Any, **__: Any) -> bool:
        raise error

    publish = world.bus.publish
    world.bus.publish = refuse  # type: ignore[method-assign]
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", type(error).__name__)

    world.bus.publish = publish  # type: ignore[method-assign]
    world.clock.forward(5)
    await world.hub.sweep()
    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")


async def test_a_lost_bus_is_said_at_once() -> None:
    world = World()
    await world.has_cluster()
    await world.bus.lose()
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "BusUnavailable")


async def test_a_cluster_that_changes_during_a_look_is_not_missed() -> None:
    """NATS comes up while the first look at a task is under way: the task does not wait for its next turn."""
    world = World()
    await world.has_cluster()
    await world.bus.lose()
    in_force = world.guard.in_force

    async def slow_guard() -> bool:
        world.hub.tasks.wake_all()
        return await in_force()

    world.guard.in_force = slow_guard  # type: ignore[method-assign]
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "BusUnavailable")
    world.guard.in_force = in_force  # type: ignore[method-assign]
    await world.bus.find()
    await world.hub.sweep()
    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")


async def test_a_silent_agent_is_asked_again_until_the_time_is_up() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    for _ in range(16):
        world.clock.forward(10)
        world.beat()
        await world.hub.sweep()
    done = world.stored()
    assert conditions(done)["Succeeded"] == ("False", "Timeout")
    assert "did not answer" in message(done, "Succeeded")
    assert [each.id for each in world.commands()] == [f"{UID}-evidence-{n}" for n in range(1, 4)]


async def test_a_finished_task_is_deleted_after_its_ttl() -> None:
    world = World()
    await world.has_cluster()
    await world.apply(ttlSecondsAfterFinished=60)
    await answer(world)
    world.clock.forward(59)
    await world.hub.sweep()
    assert world.stored()
    world.clock.forward(1)
    await world.hub.sweep()
    with pytest.raises(KeyError):
        world.stored()
    assert world.hub.tasks.book.get(UID) is None


async def test_a_ttl_given_later_counts_from_the_end() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    await answer(world)
    entry = world.hub.tasks.book.get(UID)
    assert entry is not None
    await world.hub.tasks.seen(await world.kube.patch(entry.key, {"spec": {"ttlSecondsAfterFinished": 5}}))
    assert world.stored()["status"]["observedGeneration"] == 2
    world.clock.forward(5)
    await world.hub.sweep()
    with pytest.raises(KeyError):
        world.stored()


async def test_a_spec_that_cannot_be_read_fails_the_task_once() -> None:
    world = World()
    body = task_body()
    body["spec"] = {"target": {"name": "checkout"}, "timeoutSeconds": "soon"}
    await world.hub.tasks.seen(world.kube.add(body))
    states = conditions(world.stored())
    assert states["Succeeded"] == ("False", "Failed")
    assert states["Dispatched"] == ("False", "InvalidSpec")
    assert "target.kind" in message(world.stored(), "Dispatched")

    before = world.stored()
    await world.look()
    assert world.stored() == before


async def test_an_unreadable_status_of_a_finished_task_is_left_alone() -> None:
    world = World()
    body = {**task_body(), "status": {"completionTime": "2026-11-21T09:00:00Z", "phase": "Newfangled"}}
    stored = world.kube.add(body)
    await world.hub.tasks.seen(stored)
    assert world.stored() == stored


async def test_an_unreadable_status_of_an_open_task_ends_in_a_failure() -> None:
    world = World()
    await world.hub.tasks.seen(world.kube.add({**task_body(), "status": {"phase": "Newfangled"}}))
    assert conditions(world.stored())["Succeeded"] == ("False", "Failed")


async def test_a_settled_task_is_known_and_not_read() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    await answer(world)
    hub = world.new_hub()
    world.kube.asked.clear()
    await hub.tasks.seen(world.stored())
    entry = hub.tasks.book.get(UID)
    assert entry is not None
    assert entry.finished
    assert entry.task is None
    assert not world.kube.asked


async def test_a_deleted_task_is_forgotten_whenever_it_is_noticed() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    entry = world.hub.tasks.book.get(UID)
    assert entry is not None
    del world.kube.objects[entry.key]
    await world.hub.tasks.answered(entry, GOOD)
    assert world.hub.tasks.book.get(UID) is None
    world.hub.tasks.forget(UID)


async def test_a_task_of_the_same_name_is_another_task() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    entry = world.hub.tasks.book.get(UID)
    assert entry is not None
    entry.task = None
    world.kube.add({**task_body(), "metadata": {"name": "checkout-down", "namespace": "team-a", "uid": "new"}})
    await world.hub.tasks.answered(entry, GOOD)
    assert world.hub.tasks.book.get(UID) is None
    assert "status" not in world.stored()


async def test_an_api_server_that_is_down_is_waited_for() -> None:
    world = World()
    await world.has_cluster()
    body = world.kube.add(task_body())
    world.kube.down = True
    await world.hub.tasks.seen(body)
    with pytest.raises(ClusterUnavailable):
        await answer(world)

    world.kube.down = False
    world.clock.forward(5)
    await world.hub.sweep()
    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")


async def test_a_bug_does_not_stop_the_task(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    await world.has_cluster()

    async def broken_guard() -> bool:
        raise RuntimeError("a bug")

    world.guard.in_force = broken_guard  # type: ignore[method-assign]
    await world.apply()
    assert "status" not in world.stored()
    del world.guard.in_force
    world.clock.forward(5)
    await world.hub.sweep()
    assert len(world.commands()) == 1


async def test_two_hubs_at_once_send_once_and_agree() -> None:
    world = World()
    await world.has_cluster()
    other = world.new_hub()
    await other.clusters.seen(world.cluster())
    body = world.kube.add(task_body())
    await asyncio.gather(world.hub.tasks.seen(body), other.tasks.seen(body))
    assert len(world.broker.logs["KA_COMMANDS"].stored) == 1
    assert conditions(world.stored())["Dispatched"] == ("True", "CommandSent")

    entry = other.tasks.book.get(UID)
    assert entry is not None
    await asyncio.gather(answer(world), other.tasks.answered(entry, GOOD))
    assert world.stored()["status"]["phase"] == "Succeeded"


async def test_an_own_namespace_on_local_travels_with_that_namespace_only() -> None:
    world = World()
    await world.has_cluster("local", uid="11111111-2222-3333-4444-555555555555")
    await world.apply(cluster="local", target={"kind": "Deployment", "name": "checkout"})
    [command] = world.commands()
    assert command.evidence is not None
    assert command.evidence.namespaces == ["team-a"]
    assert world.stored()["status"]["target"] == "Deployment/checkout"


async def test_what_is_counted() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    world.clock.forward(0.2)
    await answer(world)
    registry = world.hub.metrics.registry
    assert registry.get_sample_value("kubeagent_diagnosis_total", {"result": "RootCauseFound"}) == 1
    labels = {"agent": "diagnostician", "action": "evidence"}
    assert registry.get_sample_value("kubeagent_request_duration_seconds_sum", labels) == pytest.approx(0.2)
    commands = {"cluster_id": "prod-eu", "status": "sent"}
    assert registry.get_sample_value("aetherius_agent_commands_total", commands) == 1
    assert registry.get_sample_value("aetherius_agent_total", {"status": "online"}) == 1
