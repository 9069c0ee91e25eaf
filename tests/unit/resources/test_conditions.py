"""Conditions change in one way only, and two writes of the same fact are equal."""

from datetime import UTC, datetime, timedelta

from kubeagent.resources.conditions import find, is_true, with_condition, without

NOON = datetime(2026, 11, 21, 12, 0, 0, 500, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def test_a_new_condition_is_sorted_in_and_stamped() -> None:
    conditions = with_condition((), "Succeeded", "Unknown", "Pending", now=NOON, generation=3)
    conditions = with_condition(conditions, "Dispatched", "True", "Sent", "to local", now=NOON, generation=3)
    assert [each.type for each in conditions] == ["Dispatched", "Succeeded"]
    assert find(conditions, "Dispatched") == conditions[0]
    assert conditions[0].last_transition_time == NOON.replace(microsecond=0)
    assert conditions[0].observed_generation == 3


def test_the_transition_time_moves_with_the_status_only() -> None:
    before = with_condition((), "Available", "True", "Heartbeat", now=NOON)
    same = with_condition(before, "Available", "True", "Heartbeat", "still here", now=LATER)
    moved = with_condition(same, "Available", "Unknown", "AgentSilent", now=LATER)
    assert same[0].last_transition_time == before[0].last_transition_time
    assert moved[0].last_transition_time == LATER.replace(microsecond=0)


def test_writing_the_same_fact_again_is_no_change() -> None:
    before = with_condition((), "Available", "True", "Heartbeat", "beat", now=NOON, generation=1)
    assert with_condition(before, "Available", "True", "Heartbeat", "beat", now=LATER, generation=1) == before


def test_conditions_can_be_taken_away_and_asked_for() -> None:
    conditions = with_condition((), "Reconciling", "True", "Working", now=NOON)
    assert is_true(conditions, "Reconciling")
    assert not is_true(without(conditions, "Reconciling"), "Reconciling")
