"""next_status() and view() of a ManagedCluster, admit() of an agent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from kubeagent.hub.fleet import Fleet
from kubeagent.hub.reconcile.cluster import Beat, Claim, Contact, Hearing, availability, next_status, silent_at, view
from kubeagent.hub.reconcile.observed import ClusterState
from kubeagent.hub.reconcile.registration import admit
from kubeagent.resources.managedcluster import ManagedCluster, ManagedClusterStatus
from tests.fakes.kube import KUBE_SYSTEM_UID
from tests.unit.hub.given import EU_UID, NOW, agent, cluster_body, conditions, seconds

LISTENING = Hearing(connected=True, since=NOW - seconds(3600))


def cluster(status: ManagedClusterStatus | None = None, *, uid: str = EU_UID, **spec: Any) -> ManagedCluster:
    parsed = ManagedCluster.parse(cluster_body(uid=uid, **spec))
    return parsed.model_copy(update={"status": status}) if status is not None else parsed


def beat(at: datetime = NOW, status: str = "healthy", **fields: Any) -> Contact:
    return Contact(beat=Beat(at, at, agent(capabilities=[], **fields), status))


def states(status: ManagedClusterStatus) -> dict[str, tuple[str, str]]:
    return conditions({"status": status.to_json()})


def test_a_cluster_that_speaks_is_available() -> None:
    status = next_status(cluster(), beat(nodes=3, pods=40), LISTENING, NOW)

    assert states(status) == {
        "Joined": ("True", "Registered"),
        "Accepted": ("True", "Accepted"),
        "Available": ("True", "AgentHealthy"),
        "IdentityVerified": ("True", "ClusterUIDKnown"),
    }
    assert status.last_heartbeat_time == NOW
    assert (status.nodes, status.pods, status.agent_version) == (3, 40, "1.0.0")
    assert status.capabilities == ("evidence",)


def test_a_cluster_made_by_hand_waits_for_its_agent() -> None:
    status = next_status(cluster(uid="", accepted=False), Contact(), LISTENING, NOW)
    assert states(status) == {
        "Joined": ("False", "NotRegistered"),
        "Accepted": ("False", "NotAccepted"),
        "Available": ("Unknown", "NeverSeen"),
        "IdentityVerified": ("False", "NoIdentity"),
    }


@pytest.mark.parametrize(("age", "expected"), [(0, "True"), (89, "True"), (90, "Unknown"), (900, "Unknown")])
def test_silence_for_90_s_is_unknown(age: int, expected: str) -> None:
    assert availability(cluster(), beat(NOW - seconds(age)), LISTENING, NOW).status == expected


def test_an_agent_that_feels_unwell_is_there_all_the_same() -> None:
    found = availability(cluster(), beat(status="degraded"), LISTENING, NOW)
    assert (found.status, found.reason, found.alive) == ("False", "AgentUnhealthy", True)


def test_a_hub_that_has_just_started_declares_nobody_offline() -> None:
    before = cluster(next_status(cluster(), beat(NOW - seconds(40)), LISTENING, NOW - seconds(40)))
    fresh = Hearing(connected=True, since=NOW)

    assert availability(before, Contact(), fresh, NOW + seconds(89)).alive
    assert view(before, Contact(), fresh, NOW + seconds(89)).state is ClusterState.ONLINE
    late = availability(before, Contact(), fresh, NOW + seconds(90))
    assert (late.status, late.reason) == ("Unknown", "AgentSilent")
    assert "2026-11-21T08:59:20Z" in late.message


def test_a_hub_that_is_cut_off_says_that_and_not_that_agents_are_silent() -> None:
    cut_off = Hearing(connected=False, since=NOW)
    before = cluster(next_status(cluster(), beat(NOW), LISTENING, NOW))
    assert availability(before, beat(NOW), cut_off, NOW + seconds(80)).status == "True"
    found = availability(before, beat(NOW), cut_off, NOW + seconds(91))
    assert (found.status, found.reason) == ("Unknown", "HubDisconnected")


@pytest.mark.parametrize(
    ("spec", "contact", "state"),
    [
        ({"accepted": False}, beat(), ClusterState.NOT_ACCEPTED),
        ({"paused": True}, beat(), ClusterState.PAUSED),
        ({}, Contact(), ClusterState.OFFLINE),
        ({}, beat(), ClusterState.ONLINE),
        ({}, beat(status="degraded"), ClusterState.ONLINE),
    ],
)
def test_what_a_task_sees(spec: dict[str, Any], contact: Contact, state: ClusterState) -> None:
    assert view(cluster(**spec), contact, LISTENING, NOW).state is state


def test_a_view_prefers_what_was_registered_last() -> None:
    contact = Contact(registered=agent(capabilities=["evidence", "more"]))
    assert view(cluster(), contact, LISTENING, NOW).capabilities == frozenset({"evidence", "more"})
    assert view(cluster(uid=""), Contact(), LISTENING, NOW).capabilities is None


def test_heartbeats_are_written_once_a_minute_or_with_a_change() -> None:
    first = next_status(cluster(), beat(NOW, nodes=1), LISTENING, NOW)
    half = next_status(cluster(first), beat(NOW + seconds(30), nodes=2), LISTENING, NOW + seconds(30))
    assert half == first
    whole = next_status(cluster(first), beat(NOW + seconds(60), nodes=2), LISTENING, NOW + seconds(60))
    assert (whole.last_heartbeat_time, whole.nodes) == (NOW + seconds(60), 2)
    changed = next_status(cluster(first, paused=True), beat(NOW + seconds(30)), LISTENING, NOW + seconds(30))
    assert changed.last_heartbeat_time == NOW + seconds(30)


def test_a_conflict_is_shown_while_it_lasts() -> None:
    claim = Contact(claim=Claim("other", NOW))
    shown = next_status(cluster(), claim, LISTENING, NOW)
    assert states(shown)["IdentityConflict"] == ("True", "ForeignUID")
    over = next_status(cluster(shown), claim, LISTENING, NOW + seconds(601))
    assert "IdentityConflict" not in states(over)
    restarted = Hearing(connected=True, since=NOW)
    assert "IdentityConflict" in states(next_status(cluster(shown), Contact(), restarted, NOW + seconds(60)))
    assert "IdentityConflict" not in states(next_status(cluster(shown), Contact(), restarted, NOW + seconds(601)))


def test_a_pin_by_hand_replaces_the_identity_that_came_first() -> None:
    status = next_status(cluster(clusterUID="the-right-one"), Contact(), LISTENING, NOW)
    assert status.cluster_uid is None
    found = next_status(cluster(clusterUID="right"), beat(uid="right"), LISTENING, NOW)
    assert found.cluster_uid == "right"


def test_what_an_agent_says_is_bounded() -> None:
    chatty = Contact(
        registered=agent(
            provider="p" * 500, kubernetes_version="v" * 500, capabilities=[f"{'c' * 200}{i}" for i in range(90)]
        )
    )
    status = next_status(cluster(), chatty, LISTENING, NOW)
    assert ManagedClusterStatus.model_validate(status.to_json()) == status


def test_the_same_look_twice_writes_nothing() -> None:
    first = next_status(cluster(), beat(), LISTENING, NOW)
    assert next_status(cluster(first), beat(), LISTENING, NOW + seconds(20)) == first


def test_silence_is_looked_for_when_it_would_begin() -> None:
    assert silent_at(beat(), LISTENING) == NOW + seconds(90)
    assert silent_at(Contact(), Hearing(True, NOW)) == NOW + seconds(90)


@pytest.mark.parametrize(
    ("name", "uid", "body", "state", "conflict"),
    [
        ("prod-eu", EU_UID, None, "pending", False),
        ("prod-eu", "", None, "pending", False),
        ("prod-eu", EU_UID, cluster_body(accepted=False), "pending", False),
        ("prod-eu", EU_UID, cluster_body(), "accepted", False),
        ("prod-eu", "", cluster_body(uid=""), "accepted", False),
        ("prod-eu", "other", cluster_body(), "rejected", True),
        ("prod-eu", "", cluster_body(), "rejected", True),
        ("prod-eu", EU_UID, cluster_body(clusterUID="pinned"), "rejected", True),
        ("prod-eu", "pinned", cluster_body(clusterUID="pinned"), "accepted", False),
        ("local", KUBE_SYSTEM_UID, None, "pending", False),
        ("local", EU_UID, None, "rejected", True),
        ("local", "", cluster_body("local", uid=""), "rejected", True),
    ],
)
def test_who_may_speak_under_a_name(name: str, uid: str, body: Any, state: str, conflict: bool) -> None:
    found = admit(name, uid, ManagedCluster.parse(body) if body else None, KUBE_SYSTEM_UID)
    assert (found.state, found.conflict) == (state, conflict)
    assert bool(found.reason) is (state != "accepted")


def test_a_replayed_heartbeat_is_as_old_as_the_server_says() -> None:
    fleet = Fleet(NOW, seconds(90))
    fleet.reconnected(NOW)
    fleet.beat(agent(), "healthy", NOW - seconds(80), NOW)
    found = fleet.contact("prod-eu").beat
    assert found is not None
    assert found.heard == NOW - seconds(80)


def test_a_clock_that_differs_from_the_servers_makes_nobody_offline() -> None:
    fleet = Fleet(NOW, seconds(90))
    fleet.reconnected(NOW)
    for at in (0, 30, 60):  # the server's clock is ten minutes behind
        fleet.beat(agent(), "healthy", NOW + seconds(at - 600), NOW + seconds(at))
    found = fleet.contact("prod-eu").beat
    assert found is not None
    assert found.heard == NOW + seconds(60)
    fleet.beat(agent("other"), "healthy", NOW + seconds(61 - 600), NOW + seconds(61))
    other = fleet.contact("other").beat
    assert other is not None
    assert other.heard == NOW + seconds(61)
