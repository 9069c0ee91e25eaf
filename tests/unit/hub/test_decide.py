"""decide(): given what is observed, when it is now, then this is the step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kubeagent.hub.reconcile.command import CommandId, display_target, evidence_request, parse_command_id, target_key
from kubeagent.hub.reconcile.observed import ClusterState, Failed, Garbled, Judged, Observed
from kubeagent.hub.reconcile.step import Conclude, Delete, Dispatch, End, Nothing, Wait
from kubeagent.hub.reconcile.task import LOOKS, decide, is_wanted
from kubeagent.resources.diagnosistask import DiagnosisTask
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Outcome, Verdict
from tests.unit.hub.given import FIRST, FOUND, HEALTHY, NOW, SECOND, UID, carried, online, seconds, task


def dispatched(**spec: Any) -> DiagnosisTask:
    """A task whose first command went out at NOW."""
    fresh = task(**spec)
    return carried(fresh, decide(Observed(fresh, online()), NOW), NOW)


def finished(**spec: Any) -> DiagnosisTask:
    return carried(dispatched(**spec), Conclude(FOUND), NOW + seconds(1))


def test_a_new_task_of_a_cluster_that_is_there_is_dispatched() -> None:
    step = decide(Observed(task(), online()), NOW)

    assert isinstance(step, Dispatch)
    assert step.command_id == FIRST
    assert step.cluster_uid == online().uid
    assert step.request.target == ObjectKey("apps/v1", "Deployment", "shop", "checkout")
    assert step.expires_at == NOW + seconds(30)
    assert step.look_again == NOW + seconds(35)


def test_a_command_does_not_outlive_its_task() -> None:
    step = decide(Observed(task(timeoutSeconds=10), online()), NOW)

    assert isinstance(step, Dispatch)
    assert step.expires_at == step.look_again == NOW + seconds(10)
    assert step.request.timeout_seconds == 8.0


@pytest.mark.parametrize(
    ("state", "reason", "advice"),
    [
        (ClusterState.MISSING, "ClusterNotFound", "kubeagent cluster join prod-eu"),
        (ClusterState.NOT_ACCEPTED, "ClusterNotAccepted", "kubeagent cluster accept prod-eu"),
        (ClusterState.PAUSED, "ClusterPaused", "spec.paused"),
        (ClusterState.OFFLINE, "ClusterOffline", "no heartbeat"),
    ],
)
def test_an_obstacle_is_named_with_what_to_do_and_waited_for(state: ClusterState, reason: str, advice: str) -> None:
    step = decide(Observed(task(), online(state=state)), NOW)

    assert isinstance(step, Wait)
    [fact] = step.facts
    assert (fact.type, fact.status, fact.reason) == ("Dispatched", "False", reason)
    assert advice in fact.message
    assert NOW < step.look_again <= NOW + seconds(120)


def test_without_the_scope_guard_nothing_is_sent_whatever_the_cluster() -> None:
    for state in ClusterState:
        step = decide(Observed(task(), online(state=state), guarded=False), NOW)
        assert isinstance(step, Wait)
        assert step.facts[0].reason == "ScopeGuardMissing"


def test_the_timeout_repeats_the_last_obstacle() -> None:
    fresh = task()
    waiting = carried(fresh, decide(Observed(fresh, online(state=ClusterState.OFFLINE)), NOW), NOW)

    assert isinstance(decide(Observed(waiting, online(state=ClusterState.OFFLINE)), NOW + seconds(119)), Wait)
    step = decide(Observed(waiting, online(state=ClusterState.OFFLINE)), NOW + seconds(120))

    assert isinstance(step, End)
    assert step.reason == "Timeout"
    assert "ClusterOffline: cluster prod-eu is offline: no heartbeat" in step.message


def test_the_timeout_of_a_silent_agent_says_so() -> None:
    step = decide(Observed(dispatched(timeoutSeconds=20), online()), NOW + seconds(20))

    assert isinstance(step, End)
    assert "cluster prod-eu did not answer the last of 1 commands" in step.message


def test_the_timeout_after_a_bad_reply_says_that() -> None:
    bad = decide(Observed(dispatched(), online(), reply=Garbled(FIRST, "truncated")), NOW + seconds(1))
    again = carried(dispatched(), bad, NOW + seconds(1))
    sent = carried(again, decide(Observed(again, online()), NOW + seconds(4)), NOW + seconds(4))
    step = decide(Observed(sent, online()), NOW + seconds(120))

    assert isinstance(step, End)
    assert "BadReply" in step.message


def test_a_command_that_is_out_is_waited_for_even_if_the_cluster_goes_offline() -> None:
    for state in ClusterState:
        step = decide(Observed(dispatched(), online(state=state), guarded=False), NOW + seconds(34))
        assert step == Nothing(NOW + seconds(35))


def test_no_answer_leads_to_the_next_attempt() -> None:
    late = NOW + seconds(35)
    silent = decide(Observed(dispatched(), online()), late)
    assert isinstance(silent, Wait)
    assert silent.facts[0].reason == "NoAnswer"
    assert silent.look_again == late

    again = decide(Observed(carried(dispatched(), silent, late), online()), late)
    assert isinstance(again, Dispatch)
    assert (again.command_id, again.attempt) == (SECOND, 2)


def test_an_answer_concludes_whenever_the_task_is_open() -> None:
    for now in (NOW + seconds(1), NOW + seconds(1000)):
        step = decide(Observed(dispatched(), online(), reply=Judged(FIRST, FOUND, 10)), now)
        assert isinstance(step, Conclude)
        assert step.verdict == FOUND


def test_an_answer_to_a_command_that_was_never_recorded_counts() -> None:
    """The hub was killed between sending and recording."""
    step = decide(Observed(task(), online(), reply=Judged(FIRST, FOUND)), NOW)
    assert isinstance(step, Conclude)


def test_an_answer_to_an_earlier_attempt_counts() -> None:
    late = NOW + seconds(35)
    silent = carried(dispatched(), decide(Observed(dispatched(), online()), late), late)
    second = carried(silent, decide(Observed(silent, online()), late), late)
    assert isinstance(decide(Observed(second, online(), reply=Judged(FIRST, FOUND)), late), Conclude)


@pytest.mark.parametrize("command", ["other-uid-evidence-1", "cmd-67890", "", f"{UID}-evidence-9", f"{UID}-evidence-0"])
def test_a_foreign_answer_counts_for_nothing(command: str) -> None:
    step = decide(Observed(dispatched(), online(), reply=Judged(command, FOUND)), NOW + seconds(1))
    assert step == Nothing(NOW + seconds(35))
    assert not is_wanted(dispatched(), command)


@pytest.mark.parametrize("reply", [Judged(FIRST, HEALTHY), Failed(FIRST, "error"), Garbled(FIRST, "?"), None])
def test_a_finished_task_is_never_reopened(reply: Any) -> None:
    for later in (2, 200, 10_000_000):
        assert decide(Observed(finished(), online(), reply=reply), NOW + seconds(later)) == Nothing()


def test_a_finished_task_is_deleted_when_its_ttl_has_passed() -> None:
    done = finished(ttlSecondsAfterFinished=60)
    assert decide(Observed(done, online()), NOW + seconds(60)) == Nothing(NOW + seconds(61))
    assert decide(Observed(done, online()), NOW + seconds(61)) == Delete()


def test_a_task_that_is_being_deleted_is_left_alone() -> None:
    body = task().to_json()
    body["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    assert decide(Observed(DiagnosisTask.parse(body), online()), NOW) == Nothing()


@pytest.mark.parametrize("given", [task(), dispatched()], ids=["new", "dispatched"])
def test_cancel_ends_a_task_at_once(given: DiagnosisTask) -> None:
    cancelled = given.model_copy(update={"spec": given.spec.model_copy(update={"cancel": True})})
    step = decide(Observed(cancelled, online(), reply=Judged(FIRST, FOUND)), NOW)
    assert isinstance(step, End)
    assert step.reason == "Cancelled"


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("error", "KA-CLUSTER-DOWN", "EvidenceFailed"),
        ("error", "KA-QUEUE-FULL", "EvidenceFailed"),
        ("expired", "", "CommandExpired"),
        ("shrug", "", "BadReply"),
        ("denied", "KA-BUS", "CommandDenied"),
    ],
)
def test_a_failure_that_time_may_cure_is_tried_again_after_a_pause(status: str, code: str, reason: str) -> None:
    soon = NOW + seconds(1)
    step = decide(Observed(dispatched(), online(), reply=Failed(FIRST, status, code, "no")), soon)

    assert isinstance(step, Wait)
    assert {(fact.type, fact.status, fact.reason) for fact in step.facts} == {
        ("Dispatched", "False", reason),
        ("EvidenceCollected", "False", reason),
    }
    waiting = carried(dispatched(), step, soon)
    assert decide(Observed(waiting, online()), soon) == Nothing(soon + seconds(2))
    assert isinstance(decide(Observed(waiting, online()), soon + seconds(2)), Dispatch)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("error", "KA-FORBIDDEN", "EvidenceFailed"),
        ("error", "", "EvidenceFailed"),
        ("denied", "KA-COMMAND-DENIED", "CommandDenied"),
    ],
)
def test_a_failure_that_time_does_not_cure_is_undetermined(status: str, code: str, reason: str) -> None:
    step = decide(Observed(dispatched(), online(), reply=Failed(FIRST, status, code, "no")), NOW + seconds(1))
    assert isinstance(step, Conclude)
    assert (step.verdict.outcome, step.verdict.reason) == (Outcome.UNDETERMINED, reason)


def test_the_same_failure_twice_counts_once() -> None:
    reply = Garbled(FIRST, "half a message")
    step = decide(Observed(dispatched(), online(), reply=reply), NOW + seconds(1))
    waiting = carried(dispatched(), step, NOW + seconds(1))
    assert isinstance(decide(Observed(waiting, online(), reply=reply), NOW + seconds(2)), Nothing)


def test_a_failure_of_an_earlier_attempt_is_old_news() -> None:
    late = NOW + seconds(35)
    silent = carried(dispatched(), decide(Observed(dispatched(), online()), late), late)
    second = carried(silent, decide(Observed(silent, online()), late), late)
    step = decide(Observed(second, online(), reply=Failed(FIRST, "error", "", "no")), late)
    assert isinstance(step, Nothing)


def test_a_failure_of_an_attempt_that_was_never_recorded_records_it() -> None:
    step = decide(Observed(task(), online(), reply=Garbled(FIRST, "?")), NOW)
    assert isinstance(step, Wait)
    assert step.attempt == 1


def test_an_agent_without_the_capability_is_undetermined_and_not_asked() -> None:
    step = decide(Observed(task(), online(capabilities=frozenset({"event_watch"}))), NOW)
    assert isinstance(step, Conclude)
    assert step.verdict.reason == "AgentCapabilityMissing"
    assert "install the kubeagent agent" in step.verdict.message


def test_an_agent_that_never_said_what_it_can_is_asked() -> None:
    assert isinstance(decide(Observed(task(), online(capabilities=None)), NOW), Dispatch)


def test_a_target_outside_of_the_allowed_namespaces_fails_the_task() -> None:
    step = decide(Observed(task(), online(target_namespaces=("bank",))), NOW)
    assert isinstance(step, End)
    assert step.reason == "Failed"
    assert step.facts[0].reason == "TargetNotAllowed"
    assert "namespace shop is not in spec.targetNamespaces" in step.message


@pytest.mark.parametrize(
    ("spec", "limit", "expected"),
    [
        ({"cluster": "local", "target": {"kind": "Pod", "name": "x"}}, None, ["team-a"]),
        ({"cluster": "local", "target": {"kind": "Namespace"}}, None, ["team-a"]),
        ({"cluster": "local", "target": {"kind": "Rollout", "name": "x"}}, None, ["team-a"]),
        ({"cluster": "local", "target": {"kind": "Node", "name": "x"}}, None, None),
        ({"cluster": "local", "target": {"kind": "Pod", "namespace": "shop", "name": "x"}}, None, None),
        ({"cluster": "local", "target": {"kind": "Pod", "name": "x"}}, ("team-a", "shop"), ["team-a"]),
        ({"cluster": "prod-eu", "target": {"kind": "Pod", "name": "x"}}, None, None),
        ({"cluster": "prod-eu", "target": {"kind": "Pod", "name": "x"}}, ("team-a", "bank"), ["bank", "team-a"]),
        ({"cluster": "prod-eu", "target": {"kind": "Cluster"}}, ("bank",), ["bank"]),
    ],
)
def test_how_far_a_command_may_look(spec: dict[str, Any], limit: Any, expected: Any) -> None:
    assert evidence_request(task(**spec), limit, 30).namespaces == expected


@pytest.mark.parametrize(
    ("target", "shown", "key"),
    [
        ({"kind": "Deployment", "name": "a"}, "Deployment/a", ObjectKey("apps/v1", "Deployment", "team-a", "a")),
        (
            {"kind": "Deployment", "name": "a", "namespace": "shop"},
            "Deployment shop/a",
            ObjectKey("apps/v1", "Deployment", "shop", "a"),
        ),
        ({"kind": "Node", "name": "n", "namespace": "shop"}, "Node/n", ObjectKey("v1", "Node", "", "n")),
        ({"kind": "Namespace", "name": "shop"}, "Namespace/shop", ObjectKey("v1", "Namespace", "", "shop")),
        ({"kind": "Namespace"}, "Namespace/team-a", ObjectKey("v1", "Namespace", "", "team-a")),
        ({"kind": "Cluster"}, "Cluster", ObjectKey("", "Cluster", "", "")),
        (
            {"kind": "Rollout", "apiVersion": "argoproj.io/v1alpha1", "name": "r"},
            "Rollout/r",
            ObjectKey("argoproj.io/v1alpha1", "Rollout", "team-a", "r"),
        ),
    ],
)
def test_how_a_target_is_named(target: dict[str, Any], shown: str, key: ObjectKey) -> None:
    given = task(target=target)
    assert display_target(given) == shown
    assert target_key(given) == key


def test_a_command_id_is_a_nats_token_and_reads_back() -> None:
    command = CommandId(UID, 17)
    assert parse_command_id(str(command)) == command
    assert len(str(command)) <= 63
    assert not set(str(command)) & set(". *>")


def test_the_retry_pause_grows_and_is_bounded() -> None:
    current, now, pauses = dispatched(timeoutSeconds=86_400), NOW, []
    for attempt in range(1, 9):
        reply = Garbled(f"{UID}-evidence-{attempt}", "?")
        current = carried(current, decide(Observed(current, online(), reply=reply), now), now)
        step = decide(Observed(current, online()), now)
        assert isinstance(step, Nothing)
        assert step.look_again is not None
        pauses.append(step.look_again - now)
        now = step.look_again
        current = carried(current, decide(Observed(current, online()), now), now)
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(seconds=30)


EARLY = Verdict(outcome=Outcome.NO_FAULT_FOUND, reason="RolloutInProgress", message="it is rolling out")


def test_too_early_is_no_answer_yet_and_looks_again_with_growing_pauses() -> None:
    now, current, pauses = NOW, task(), []
    for attempt in range(1, LOOKS + 1):
        sent = decide(Observed(current, online()), now)
        assert isinstance(sent, Dispatch)
        assert sent.attempt == attempt
        current = carried(current, sent, now)
        step = decide(Observed(current, online(), reply=Judged(sent.command_id, EARLY)), now)
        current = carried(current, step, now)
        if isinstance(step, Wait):
            assert not current.finished
            pauses.append(step.look_again - now)
            now = step.look_again
    assert pauses == [seconds(2), seconds(4), seconds(8)]
    assert current.status.outcome is Outcome.NO_FAULT_FOUND
    assert current.finished


def test_a_fault_that_shows_at_the_second_look_is_the_answer() -> None:
    first = decide(Observed(dispatched(), online(), reply=Judged(FIRST, EARLY)), NOW)
    assert isinstance(first, Wait)
    assert [fact.reason for fact in first.facts if fact.type == "Dispatched"] == ["LookingAgain"]
    current = carried(dispatched(), first, NOW)
    later = NOW + seconds(3)
    current = carried(current, decide(Observed(current, online()), later), later)
    step = decide(Observed(current, online(), reply=Judged(SECOND, FOUND)), later)
    assert isinstance(step, Conclude)
    assert step.verdict is FOUND


def test_an_early_verdict_that_comes_again_does_not_end_the_look_under_way() -> None:
    current = carried(dispatched(), decide(Observed(dispatched(), online(), reply=Judged(FIRST, EARLY)), NOW), NOW)
    later = NOW + seconds(3)
    current = carried(current, decide(Observed(current, online()), later), later)
    assert isinstance(decide(Observed(current, online(), reply=Judged(FIRST, EARLY)), later), Nothing)


def test_too_early_is_the_answer_when_the_time_is_nearly_up() -> None:
    current = carried(task(timeoutSeconds=6), decide(Observed(task(timeoutSeconds=6), online()), NOW), NOW)
    assert isinstance(decide(Observed(current, online(), reply=Judged(FIRST, EARLY)), NOW), Conclude)
