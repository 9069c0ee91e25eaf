"""What a hostile or merely broken agent, clock or engine does to the hub: nothing to the others."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from kubeagent.bus.port import Delivery
from kubeagent.hub import judging, registrar
from kubeagent.hub.background import AT_ONCE
from kubeagent.hub.clock import SteadyClock
from kubeagent.hub.judging import Judging
from kubeagent.hub.reconcile.cluster import missing
from kubeagent.hub.reconcile.observed import ClusterView
from kubeagent.hub.tasks import Answer
from kubeagent.protocol.messages import RegisterReply, decode, encode
from kubeagent.resources.verdict import Verdict
from tests.unit.hub.given import (
    EU_UID,
    FIRST,
    HEALTHY,
    NOW,
    World,
    agent,
    conditions,
    evidence,
    incoming,
    result,
    seconds,
    task_body,
    wire,
)


async def register(world: World, name: str, uid: str) -> RegisterReply:
    message = incoming("register", name, encode(agent(name, uid)))
    return decode(await world.hub.registrar.register(message), RegisterReply)


async def test_of_two_clusters_that_register_at_once_one_is_the_first() -> None:
    world = World()
    replies = await asyncio.gather(register(world, "prod-eu", "one"), register(world, "prod-eu", "two"))
    assert sorted(each.state for each in replies) == ["pending", "rejected"]


async def test_names_without_end_do_not_fill_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar, "MAX_PENDING", 3)
    monkeypatch.setattr(registrar, "MAX_STRANGERS", 5)
    world = World()
    states = [(await register(world, f"c{number}", f"uid-{number}")).state for number in range(5)]
    assert states == ["pending"] * 3 + ["rejected"] * 2
    for number in range(100):
        world.beat(f"x{number}", uid="u")
    assert len(world.hub.registrar._strangers) == 5
    await world.hub.sweep()
    assert sum(key.kind == "ManagedCluster" for key in world.kube.objects) == 3
    world.clock.forward(61)
    await world.hub.sweep()
    assert world.hub.registrar._looked == {}


@pytest.mark.parametrize("uid", ["x" * 129, "a\nb", "\u202e"])
async def test_an_odd_uid_is_refused_and_not_cut(uid: str) -> None:
    assert (await register(World(), "prod-eu", uid)).state == "rejected"


async def test_counts_beyond_the_schema_do_not_block_the_status() -> None:
    world = World()
    await world.has_cluster(beats=False)
    world.beat(nodes=10**30)
    await world.hub.sweep()
    assert world.cluster()["status"]["nodes"] == 2**31 - 1


async def test_a_cluster_has_its_queue_before_it_is_accepted_and_nothing_in_it() -> None:
    world = World()
    await register(world, "prod-eu", EU_UID)
    assert ("KA_COMMANDS", "prod-eu") in world.broker.queues
    world.beat()
    await world.hub.sweep()
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "ClusterNotAccepted")
    assert world.commands() == []


async def test_the_queue_of_a_deleted_cluster_goes_too() -> None:
    world = World()
    await world.has_cluster()
    key = next(key for key in world.kube.objects if key.kind == "ManagedCluster")
    del world.kube.objects[key]
    world.hub.clusters.forget("prod-eu")
    await world.hub.sweep()
    assert ("KA_COMMANDS", "prod-eu") not in world.broker.queues


async def test_a_result_of_a_cluster_that_is_no_longer_accepted_is_dropped() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    key = next(key for key in world.kube.objects if key.kind == "ManagedCluster")
    await world.hub.clusters.seen(await world.kube.patch(key, {"spec": {"accepted": False}}))
    data, headers = wire(result())
    delivery = await _delivery(world, data, headers)
    await world.hub.inbox._guarded(delivery, NOW - timedelta(hours=1))
    assert "outcome" not in world.stored()["status"]
    assert world.hub.metrics.registry.get_sample_value("kubeagent_messages_dropped_total", {"reason": "not-accepted"})


async def _delivery(world: World, data: bytes, headers: dict[str, str]) -> Delivery:
    await world.bus.publish("agent.result.prod-eu", data, headers=headers)
    return await anext(world.bus.consume("KA_RESULTS", "hub-results"))


async def test_the_sweep_does_not_wait_for_an_answer_that_is_being_judged() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    entry = world.hub.tasks.book.get("0b0e2f4c-1111-4222-8333-944455556666")
    assert entry is not None
    async with entry.lock:
        world.clock.forward(130)  # the task is due: its time is up
        await asyncio.wait_for(world.hub.sweep(), 2)
    world.clock.forward(2)
    await world.hub.sweep()
    assert world.stored()["status"]["phase"] == "Failed"


async def test_an_engine_that_does_not_end_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(judging, "LONGEST", 0.05)
    go_on = threading.Event()

    def slow(_: object) -> Verdict:
        go_on.wait(20)
        return HEALTHY

    verdict = await Judging(slow, lambda given: given)("uid", evidence())
    go_on.set()
    assert verdict.reason == "EngineFailed"


async def test_evidence_without_measure_is_not_judged() -> None:
    world = World()
    await world.has_cluster()
    await world.apply()
    entry = world.hub.tasks.book.get("0b0e2f4c-1111-4222-8333-944455556666")
    assert entry is not None
    huge = evidence(objects=tuple({"kind": "Pod"} for _ in range(200_000)))
    await world.hub.tasks.answered(entry, Answer(FIRST, "success", evidence=huge))
    assert world.judged == []
    assert conditions(world.stored())["EvidenceCollected"] == ("False", "BadReply")


def test_the_clock_never_goes_back_and_never_stands_still() -> None:
    wall: list[datetime] = [NOW]
    monotonic = [100.0]
    clock = SteadyClock(lambda: wall[0], lambda: monotonic[0])
    wall[0], monotonic[0] = NOW - timedelta(hours=1), 110.0
    assert clock() == NOW + seconds(10)
    wall[0], monotonic[0] = NOW + timedelta(hours=1), 111.0  # the machine slept
    assert clock() == NOW + timedelta(hours=1)


async def test_ten_thousand_tasks_at_once_do_not_storm_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf shows every task at once when the hub starts."""
    world = World()
    await world.has_cluster()
    running, most = 0, 0

    async def slow(name: str) -> ClusterView:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.001)
        running -= 1
        return missing(name)

    monkeypatch.setattr(world.hub.clusters, "view", slow)
    bodies = [world.kube.add(task_body(f"t{number}", f"uid-{number}")) for number in range(500)]
    await asyncio.gather(*(world.hub.tasks.seen(body) for body in bodies))
    assert 1 < most <= AT_ONCE
