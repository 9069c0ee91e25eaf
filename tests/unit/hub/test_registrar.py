"""Registrations and heartbeats: who may speak under which name, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeagent.protocol.messages import HEADER_CLUSTER_UID, Heartbeat, RegisterReply, decode, encode
from tests.fakes.kube import KUBE_SYSTEM_UID
from tests.unit.hub.given import EU_UID, NOW, World, agent, cluster_body, conditions, incoming


async def register(world: World, name: str = "prod-eu", data: bytes | None = None, **fields: Any) -> RegisterReply:
    body = data if data is not None else encode(agent(name, **fields))
    return decode(await world.hub.registrar.register(incoming("register", name, body)), RegisterReply)


def dropped(world: World, reason: str) -> float:
    return world.hub.metrics.registry.get_sample_value("kubeagent_messages_dropped_total", {"reason": reason}) or 0.0


async def test_the_first_registration_makes_the_cluster_unaccepted() -> None:
    world = World()
    reply = await register(world, provider="eks", kubernetes_version="v1.34.4")

    assert reply.state == "pending"
    assert "kubeagent cluster accept prod-eu" in reply.reason
    assert reply.server_time == NOW
    cluster = world.cluster()
    assert cluster["spec"] == {"accepted": False}
    assert cluster["status"]["clusterUID"] == EU_UID
    assert cluster["status"]["capabilities"] == ["evidence"]
    assert cluster["status"]["provider"] == "eks"
    states = conditions(cluster)
    assert states["Joined"] == ("True", "Registered")
    assert states["Accepted"] == ("False", "NotAccepted")
    assert states["IdentityVerified"] == ("True", "ClusterUIDKnown")


async def test_registering_again_changes_nothing() -> None:
    world = World()
    await register(world)
    before = world.cluster()
    assert (await register(world)).state == "pending"
    assert world.cluster() == before


async def test_an_accepted_cluster_is_told_so_and_has_its_queue() -> None:
    world = World()
    await world.has_cluster(beats=False)
    assert (await register(world)).state == "accepted"
    assert ("KA_COMMANDS", "prod-eu") in world.broker.queues


async def test_another_cluster_under_the_name_is_refused_and_shown() -> None:
    world = World()
    await world.has_cluster()
    reply = await register(world, uid="an-impostor")

    assert reply.state == "rejected"
    assert reply.reason.startswith("IdentityConflict")
    assert conditions(world.cluster())["IdentityConflict"] == ("True", "ForeignUID")
    assert world.cluster()["status"]["clusterUID"] == EU_UID
    assert dropped(world, "identity") == 1


async def test_an_agent_without_identity_may_join_and_is_marked() -> None:
    """A seed-style agent."""
    world = World()
    data = (
        b'{"cluster_id":"prod-us-west-2","version":"v1.0.0","start_time":"2025-09-28T10:00:00Z",'
        b'"capabilities":["event_watch"]}'
    )
    reply = await register(world, "prod-us-west-2", data)
    assert reply.state == "pending"
    assert conditions(world.cluster("prod-us-west-2"))["IdentityVerified"] == ("False", "NoIdentity")


@pytest.mark.parametrize(("uid", "state"), [(KUBE_SYSTEM_UID, "pending"), (EU_UID, "rejected"), ("", "rejected")])
async def test_local_is_the_hubs_own_cluster(uid: str, state: str) -> None:
    world = World()
    assert (await register(world, "local", uid=uid)).state == state
    made = [key for key in world.kube.objects if key.kind == "ManagedCluster"]
    assert bool(made) is (state == "pending")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("prod-eu", b""),
        ("prod-eu", b"\xff\xfe"),
        ("prod-eu", b'{"cluster_id": 7}'),
        ("prod-eu", b'{"cluster_id":"prod-eu"'),
        ("prod-eu", b'{"cluster_id":"prod-us"}'),
        ("Prod_EU", b'{"cluster_id":"Prod_EU"}'),
        ("x" * 64, b'{"cluster_id":"' + b"x" * 64 + b'"}'),
        ("*", b'{"cluster_id":"*"}'),
    ],
)
async def test_a_bad_registration_is_refused_and_counted(name: str, data: bytes) -> None:
    world = World()
    reply = await register(world, name, data)
    assert reply.state == "rejected"
    assert reply.reason.startswith("BadMessage")
    assert dropped(world, "bad-registration") == 1
    assert not [key for key in world.kube.objects if key.kind == "ManagedCluster"]


async def test_the_identity_may_stand_in_the_header_but_not_contradict_the_body() -> None:
    world = World()
    message = incoming("register", "prod-eu", encode(agent(uid="")), {HEADER_CLUSTER_UID: EU_UID})
    await world.hub.registrar.register(message)
    assert world.cluster()["status"]["clusterUID"] == EU_UID
    wrong = incoming("register", "prod-eu", encode(agent()), {HEADER_CLUSTER_UID: "another"})
    assert decode(await world.hub.registrar.register(wrong), RegisterReply).state == "rejected"


async def test_an_api_server_that_is_down_is_said_to_the_agent() -> None:
    world = World()
    world.kube.down = True
    reply = await register(world)
    assert (reply.state, reply.reason) == ("pending", "HubBusy: KA-CLUSTER-DOWN; try again")


async def test_two_hubs_that_create_the_same_cluster() -> None:
    world = World()
    other = world.new_hub()
    await register(world)
    answer = await other.registrar.register(incoming("register", "prod-eu", encode(agent())))
    assert decode(answer, RegisterReply).state == "pending"


async def test_a_heartbeat_makes_the_cluster_available() -> None:
    world = World()
    await world.has_cluster(beats=False)
    assert conditions(world.cluster())["Available"] == ("Unknown", "NeverSeen")
    world.beat(nodes=3, pods=30)
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("True", "AgentHealthy")
    assert world.cluster()["status"]["lastHeartbeatTime"] == "2026-11-21T09:00:00Z"
    assert (world.cluster()["status"]["nodes"], world.cluster()["status"]["pods"]) == (3, 30)


async def test_ordinary_heartbeats_cost_one_write_a_minute() -> None:
    world = World()
    await world.has_cluster()
    versions = set()
    for _ in range(20):  # ten minutes
        world.clock.forward(30)
        world.beat()
        await world.hub.sweep()
        versions.add(world.cluster()["metadata"]["resourceVersion"])
    assert len(versions) <= 11
    assert conditions(world.cluster())["Available"][0] == "True"


async def test_silence_and_return() -> None:
    world = World()
    await world.has_cluster()
    world.clock.forward(90)
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("Unknown", "AgentSilent")
    world.beat(status="degraded")
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("False", "AgentUnhealthy")
    world.beat()
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("True", "AgentHealthy")


async def test_a_heartbeat_of_an_impostor_is_no_sign_of_life() -> None:
    world = World()
    await world.has_cluster()
    world.clock.forward(100)
    world.beat(uid="an-impostor")
    await world.hub.sweep()
    states = conditions(world.cluster())
    assert states["Available"] == ("Unknown", "AgentSilent")
    assert states["IdentityConflict"] == ("True", "ForeignUID")
    assert dropped(world, "identity") == 1
    world.beat(uid="an-impostor")
    await world.hub.sweep()
    assert dropped(world, "identity") == 1  # looked into once a minute


async def test_a_heartbeat_under_an_unknown_name_counts_as_a_lost_registration() -> None:
    world = World()
    world.beat()
    await world.hub.sweep()
    assert world.cluster()["spec"] == {"accepted": False}
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("True", "AgentHealthy")


async def test_a_stranger_is_looked_into_again_when_the_api_server_is_back() -> None:
    world = World()
    world.kube.down = True
    world.beat()
    await world.hub.sweep()
    world.kube.down = False
    await world.hub.sweep()
    assert world.cluster()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("prod-eu", b"garbage"),
        ("prod-eu", json.dumps({"cluster_id": "prod-us", "timestamp": "2026-11-21T09:00:00Z"}).encode()),
        ("UPPER", encode(Heartbeat(cluster_id="UPPER", timestamp=NOW))),
    ],
)
async def test_a_bad_heartbeat_is_dropped_and_counted(name: str, data: bytes) -> None:
    world = World()
    world.hub.registrar.heartbeat(incoming("heartbeat", name, data))
    await world.hub.sweep()
    assert dropped(world, "bad-heartbeat") == 1


async def test_the_streams_own_marks_are_no_heartbeats() -> None:
    world = World()
    world.hub.registrar.heartbeat(incoming("heartbeat", "prod-eu", b"", {"Nats-Marker-Reason": "MaxAge"}))
    assert dropped(world, "bad-heartbeat") == 0


async def test_a_deleted_cluster_is_forgotten() -> None:
    world = World()
    await world.has_cluster()
    key = next(key for key in world.kube.objects if key.kind == "ManagedCluster")
    del world.kube.objects[key]
    world.hub.clusters.forget("prod-eu")
    assert (await world.hub.clusters.view("prod-eu")).state == "Missing"


async def test_a_cluster_that_vanishes_between_read_and_write_is_forgotten() -> None:
    world = World()
    await world.has_cluster()
    key = next(key for key in world.kube.objects if key.kind == "ManagedCluster")
    del world.kube.objects[key]
    world.clock.forward(100)
    await world.hub.sweep()
    assert (await world.hub.clusters.view("prod-eu")).state == "Missing"


async def test_a_stale_cluster_is_read_again_before_it_is_written() -> None:
    world = World()
    await world.has_cluster()
    key = next(key for key in world.kube.objects if key.kind == "ManagedCluster")
    await world.kube.patch(key, {"spec": {"displayName": "Europe"}})
    world.clock.forward(100)
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("Unknown", "AgentSilent")
    assert world.cluster()["spec"]["displayName"] == "Europe"
    assert world.cluster()["status"]["observedGeneration"] == 2


async def test_a_cluster_that_cannot_be_read_takes_no_commands() -> None:
    world = World()
    body = world.kube.add({**world.kube.add(cluster_body()), "spec": {"accepted": "perhaps"}})
    await world.hub.clusters.seen(body)
    await world.apply()
    assert conditions(world.stored())["Dispatched"] == ("False", "ClusterNotFound")


async def test_writes_that_fail_are_repeated() -> None:
    world = World()
    await world.has_cluster()
    world.clock.forward(100)
    world.kube.down = True
    await world.hub.sweep()
    world.kube.down = False
    world.clock.forward(5)
    await world.hub.sweep()
    assert conditions(world.cluster())["Available"] == ("Unknown", "AgentSilent")
