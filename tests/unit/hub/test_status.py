"""after(): the one place where a task's status comes from, in tables and as properties."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeagent.hub.reconcile.bounds import MAX_STATUS_BYTES, MAX_VERDICT_BYTES, cut, json_size
from kubeagent.hub.reconcile.observed import ClusterState, Failed, Garbled, Judged, Observed, Reply
from kubeagent.hub.reconcile.status import TYPES, after, invalid
from kubeagent.hub.reconcile.step import Conclude, Delete, Dispatch, End, Nothing, Step, Wait
from kubeagent.hub.reconcile.task import decide, undelivered
from kubeagent.resources.base import ObjectReference
from kubeagent.resources.conditions import find
from kubeagent.resources.diagnosistask import DiagnosisTask, DiagnosisTaskStatus, Phase
from kubeagent.resources.verdict import Category, ChainLink, EvidenceLine, Outcome, RootCause, Unreadable, Verdict
from tests.unit.hub.given import (
    FIRST,
    FOUND,
    HEALTHY,
    NOT_FOUND,
    NOW,
    UID,
    carried,
    conditions,
    online,
    root_cause,
    seconds,
    task,
    task_body,
)


def dispatch(given_task: DiagnosisTask, now: datetime = NOW) -> Dispatch:
    step = decide(Observed(given_task, online()), now)
    assert isinstance(step, Dispatch)
    return step


def body(given_task: DiagnosisTask) -> dict[str, Any]:
    return given_task.to_json()


def test_a_dispatched_task_says_so_and_knows_nothing_else() -> None:
    found = carried(task(), dispatch(task()), NOW)
    states = conditions(body(found))

    assert states["Dispatched"] == ("True", "CommandSent")
    assert states["Succeeded"] == ("Unknown", "Diagnosing")
    assert states["Reconciling"] == ("True", "Diagnosing")
    assert states["AgentsAvailable"] == ("False", "AgentNotAvailable")
    assert {states[type_] for type_ in TYPES if type_ not in ("Dispatched", "Succeeded")} == {("Unknown", "Pending")}
    assert "Stalled" not in states
    assert found.status.phase is Phase.DIAGNOSING
    assert found.status.target == "Deployment shop/checkout"
    assert found.status.usage is not None
    assert found.status.usage.commands == 1
    assert found.status.start_time == NOW
    assert found.status.observed_generation == 1
    assert body(found)["status"]["approval"] == {"state": "NotRequired"}


def test_an_obstacle_leaves_the_task_pending_with_the_reason() -> None:
    step = decide(Observed(task(), online(state=ClusterState.NOT_ACCEPTED)), NOW)
    found = carried(task(), step, NOW)

    assert found.status.phase is Phase.PENDING
    assert conditions(body(found))["Dispatched"] == ("False", "ClusterNotAccepted")
    reconciling = find(found.status.conditions, "Reconciling")
    assert reconciling is not None
    assert "kubeagent cluster accept prod-eu" in reconciling.message


@pytest.mark.parametrize(
    ("verdict", "succeeded", "diagnosed"),
    [
        (FOUND, "RootCauseFound", ("True", "ConfigMapKeyMissing")),
        (HEALTHY, "NoFaultFound", ("True", "NoFaultFound")),
        (NOT_FOUND, "TargetNotFound", ("False", "TargetNotFound")),
        (
            Verdict(outcome=Outcome.UNDETERMINED, reason="not camel!", message="?"),
            "Undetermined",
            ("False", "notcamel"),
        ),
        (Verdict(outcome=Outcome.UNDETERMINED, reason="42", message="?"), "Undetermined", ("False", "Reason42")),
    ],
)
def test_every_verdict_is_a_success(verdict: Verdict, succeeded: str, diagnosed: tuple[str, str]) -> None:
    sent = carried(task(), dispatch(task()), NOW)
    done = carried(sent, decide(Observed(sent, online(), reply=Judged(FIRST, verdict, 42)), NOW), NOW + seconds(2))
    states = conditions(body(done))

    assert states["Succeeded"] == ("True", succeeded)
    assert states["Diagnosed"] == diagnosed
    assert states["EvidenceCollected"] == ("True", "Collected")
    assert "Reconciling" not in states
    assert "Stalled" not in states
    assert not [each for each in states.values() if each[0] == "Unknown"]
    assert done.status.phase is Phase.SUCCEEDED
    assert done.status.outcome is verdict.outcome
    assert done.status.completion_time == NOW + seconds(2)
    assert done.status.usage is not None
    assert done.status.usage.bytes == 42


def test_a_root_cause_is_in_the_status_as_the_engine_gave_it() -> None:
    verdict = FOUND.model_copy(update={"root_causes": (root_cause(), root_cause("QuotaExceeded"))})
    done = carried(task(), Conclude(verdict), NOW)

    assert done.status.root_cause == root_cause()
    assert done.status.other_root_causes == (root_cause("QuotaExceeded"),)
    assert conditions(body(done))["Planned"] == ("False", "RemediationDisabled")


@pytest.mark.parametrize(
    ("reason", "phase", "stalled"),
    [("Timeout", Phase.FAILED, True), ("Failed", Phase.FAILED, True), ("Cancelled", Phase.CANCELLED, False)],
)
def test_an_end_without_an_answer_is_a_failure(reason: Any, phase: Phase, stalled: bool) -> None:
    sent = carried(task(), dispatch(task()), NOW)
    done = carried(sent, End(reason, "because"), NOW + seconds(120))
    states = conditions(body(done))

    assert states["Succeeded"] == ("False", reason)
    assert states["Dispatched"] == ("True", "CommandSent")
    assert states["Diagnosed"] == ("False", reason)
    assert ("Stalled" in states) is stalled
    assert "Reconciling" not in states
    assert done.status.phase is phase
    assert done.status.completion_time is not None


def test_an_invalid_spec_fails_for_good() -> None:
    status = invalid(DiagnosisTaskStatus(), 3, "spec.target: Field required", NOW)
    states = conditions({"status": status.to_json()})

    assert states["Succeeded"] == ("False", "Failed")
    assert states["Dispatched"] == ("False", "InvalidSpec")
    assert states["Stalled"] == ("True", "Failed")
    assert status.completion_time == NOW
    assert status.observed_generation == 3


def test_installed_roles_only_are_available() -> None:
    found = carried(task(agents=["diagnostician"]), dispatch(task()), NOW)
    assert conditions(body(found))["AgentsAvailable"] == ("True", "AllAvailable")
    wanting = after(task(agents=["diagnostician", "security", "cost"]), dispatch(task()), NOW)
    missing = find(wanting.conditions, "AgentsAvailable")
    assert missing is not None
    assert "cost, security" in missing.message


def test_a_finished_task_only_follows_its_generation() -> None:
    done = carried(task(), Conclude(FOUND), NOW)
    newer = done.model_copy(update={"metadata": done.metadata.model_copy(update={"generation": 5})})
    for step in (Conclude(HEALTHY), End("Timeout", "late"), dispatch(task()), Nothing(), Delete()):
        status = after(newer, step, NOW + seconds(500))
        assert status == done.status.model_copy(update={"observed_generation": 5})


def test_transition_times_move_only_with_the_status() -> None:
    first = carried(task(), decide(Observed(task(), online(state=ClusterState.MISSING)), NOW), NOW)
    later = NOW + seconds(30)
    second = carried(first, decide(Observed(first, online(state=ClusterState.OFFLINE)), later), later)
    third = carried(second, dispatch(second, later), later)

    def moved(given_task: DiagnosisTask) -> datetime:
        found = find(given_task.status.conditions, "Dispatched")
        assert found is not None
        return found.last_transition_time

    assert moved(first) == moved(second) == NOW
    assert moved(third) == later


def test_a_dispatch_that_the_bus_refused_is_an_obstacle() -> None:
    step = undelivered(dispatch(task()), "QueueFull", "200 messages wait", NOW)
    found = carried(task(), step, NOW)
    assert conditions(body(found))["Dispatched"] == ("False", "QueueFull")
    assert found.status.phase is Phase.PENDING


def huge_cause(reason: str, text: str) -> RootCause:
    about = ObjectReference(api_version="v1", kind="Pod", namespace="n" * 63, name="x" * 253)
    lines = tuple(EvidenceLine(id=f"e{i}", source="s" * 256, object=about, text=text) for i in range(20))
    chain = tuple(ChainLink(object=about, reason="r" * 128, message="m" * 1024) for _ in range(12))
    return RootCause(
        reason=reason,
        category=Category.NETWORK,
        object=about,
        summary="s" * 1024,
        confidence=50,
        chain=chain,
        evidence=lines,
    )


@pytest.mark.parametrize("char", ["x", "é", "镜", "<", "\n", "\x00", "🔥"])
def test_the_largest_verdict_fits(char: str) -> None:
    cause = huge_cause("Big", char * 2048)
    about = cause.object
    verdict = Verdict(
        outcome=Outcome.ROOT_CAUSE_FOUND,
        reason="RootCauseFound",
        message=char * 1024,
        root_causes=(cause,) * 60,
        alternatives=(cause, cause),
        unreadable=tuple(Unreadable(object=about, reason="Forbidden", message="m" * 1024) for _ in range(50)),
    )
    status = after(task(), Conclude(verdict), NOW)

    assert json_size(status.to_json()) <= MAX_VERDICT_BYTES + 32 * 1024 <= MAX_STATUS_BYTES
    assert status.root_cause is not None
    assert status.root_cause.reason == "Big"
    assert all(len(line.text.encode()) <= 2048 for line in status.root_cause.evidence)
    assert status.truncated is not None
    assert status.truncated.other_root_causes == 59 - len(status.other_root_causes or ())
    assert status.truncated.unreadable == 50 - len(status.unreadable or ())


def test_a_small_verdict_is_not_truncated() -> None:
    assert after(task(), Conclude(FOUND), NOW).truncated is None


@given(st.text(), st.integers(8, 64))
def test_a_cut_text_is_text_and_short(text: str, limit: int) -> None:
    assert len(cut(text, limit).encode(errors="replace")) <= max(limit, 0)


# ---------------------------------------------------------------- properties: any story of a task

REPLIES: st.SearchStrategy[Reply | None] = st.one_of(
    st.none(),
    st.builds(
        Judged,
        st.sampled_from([FIRST, f"{UID}-evidence-2", "foreign-evidence-1"]),
        st.sampled_from([FOUND, HEALTHY, NOT_FOUND]),
        st.integers(0, 10**6),
    ),
    st.builds(
        Failed,
        st.sampled_from([FIRST, f"{UID}-evidence-2"]),
        st.sampled_from(["error", "denied", "expired", "weird"]),
        st.sampled_from(["", "KA-BUS-DOWN", "KA-FORBIDDEN"]),
        st.text(max_size=2000),
    ),
    st.builds(Garbled, st.sampled_from([FIRST, f"{UID}-evidence-2", ""]), st.text(max_size=50)),
)
CLUSTERS = st.builds(
    online,
    state=st.sampled_from(list(ClusterState)),
    capabilities=st.sampled_from([None, frozenset({"evidence"}), frozenset({"event_watch"})]),
    target_namespaces=st.sampled_from([None, ("shop",), ("bank",)]),
)
LOOKS = st.lists(st.tuples(st.integers(0, 90), CLUSTERS, st.booleans(), REPLIES, st.booleans()), max_size=12)
SPECS = st.fixed_dictionaries(
    {"timeoutSeconds": st.integers(1, 300)},
    optional={"ttlSecondsAfterFinished": st.integers(0, 100), "agents": st.just(["diagnostician"])},
)


def live(given_task: DiagnosisTask, looks: Any) -> list[tuple[DiagnosisTask, Step, DiagnosisTask, datetime]]:
    """A task's life: each look with the step that it led to."""
    now = NOW
    story: list[tuple[DiagnosisTask, Step, DiagnosisTask, datetime]] = []
    for wait, cluster, guarded, reply, cancel in looks:
        now += seconds(wait)
        if cancel and wait > 80:
            spec = given_task.spec.model_copy(update={"cancel": True})
            given_task = given_task.model_copy(update={"spec": spec})
        step = decide(Observed(given_task, cluster, guarded, reply), now)
        if isinstance(step, Delete):
            break
        then = carried(given_task, step, now)
        story.append((given_task, step, then, now))
        given_task = then
    return story


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, LOOKS)
def test_every_status_is_valid_small_and_without_nulls(spec: dict[str, Any], looks: Any) -> None:
    for _, _, then, _ in live(task(**spec), looks):
        written = then.status.to_json()
        assert DiagnosisTaskStatus.model_validate(written) == then.status
        assert json_size(written) <= MAX_STATUS_BYTES
        assert not list(nulls(written))
        assert [each["type"] for each in written["conditions"]] == sorted(
            each["type"] for each in written["conditions"]
        )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, LOOKS, st.integers(0, 1000))
def test_the_same_step_twice_is_the_same_status(spec: dict[str, Any], looks: Any, later: int) -> None:
    for _, step, then, now in live(task(**spec), looks):
        assert after(then, step, now + seconds(later)) == then.status


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, LOOKS)
def test_a_finished_task_stays_as_it_is(spec: dict[str, Any], looks: Any) -> None:
    for before, step, then, _ in live(task(**spec), looks):
        if before.finished:
            assert then.status == before.status
            assert isinstance(step, Nothing)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, LOOKS)
def test_the_same_look_twice_sends_nothing_new(spec: dict[str, Any], looks: Any) -> None:
    """Deciding again from an old body gives the very command that the stream already has."""
    for before, step, _, now in live(task(**spec), looks):
        if isinstance(step, Dispatch):
            again = decide(Observed(before, online()), now)
            assert isinstance(again, Dispatch)
            assert again.command_id == step.command_id


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, LOOKS)
def test_whoever_waits_knows_until_when(spec: dict[str, Any], looks: Any) -> None:
    """No open task is ever forgotten: it always has a time to be looked at again, before its deadline."""
    for before, step, then, now in live(task(**spec), looks):
        if not then.finished and isinstance(step, Nothing | Wait | Dispatch):
            assert step.look_again is not None
            start = then.status.start_time or now
            assert step.look_again <= max(start + seconds(before.spec.timeout_seconds), now + seconds(5))


def nulls(value: Any) -> Any:
    if isinstance(value, dict):
        for each in value.values():
            yield from nulls(each)
    elif isinstance(value, list):
        for each in value:
            yield from nulls(each)
    elif value is None:
        yield value


def test_the_builder_makes_what_the_api_server_would() -> None:
    assert DiagnosisTask.parse(task_body()).metadata.namespace == "team-a"
