"""The text of a verdict: readable in 80 columns, from the symptom to the root, nothing interpreted as markup."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from kubeagent.cli.render import age, render
from kubeagent.resources.base import ObjectReference
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import (
    Category,
    ChainLink,
    EvidenceLine,
    Outcome,
    RootCause,
    Unreadable,
    Verdict,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DEPLOYMENT = ObjectReference(api_version="apps/v1", kind="Deployment", namespace="shop", name="checkout")
POD = ObjectReference(api_version="v1", kind="Pod", namespace="shop", name="checkout-1")
CONFIG = ObjectReference(
    api_version="v1", kind="ConfigMap", namespace="shop", name="checkout-env", field_path="data.DB_HOST"
)
CAUSE = RootCause(
    reason="ConfigMapKeyMissing",
    category=Category.CONFIGURATION,
    object=CONFIG,
    summary="ConfigMap shop/checkout-env lost key DB_HOST",
    confidence=95,
    chain=(
        ChainLink(object=DEPLOYMENT, reason="Unavailable", message="1 of 1 replicas is missing"),
        ChainLink(object=POD, reason="CreateContainerConfigError", message="container web cannot start"),
        ChainLink(object=CONFIG, reason="ConfigMapKeyMissing", message="the key is gone"),
    ),
    evidence=(
        EvidenceLine(
            id="e1",
            source="event",
            object=POD,
            text="Error: couldn't find key DB_HOST in [bold]ConfigMap[/bold] shop/checkout-env",
            time=NOW - timedelta(seconds=90),
        ),
    ),
)


def text_of(verdict: Verdict, width: int = 80) -> str:
    out = io.StringIO()
    render(verdict, ObjectKey("apps/v1", "Deployment", "shop", "checkout"), NOW, Console(file=out, width=width))
    return out.getvalue()


def test_a_root_cause_reads_from_the_symptom_to_the_root() -> None:
    verdict = Verdict(
        outcome=Outcome.ROOT_CAUSE_FOUND,
        reason="RootCauseFound",
        message=CAUSE.summary,
        root_causes=(CAUSE,),
        alternatives=(CAUSE.model_copy(update={"summary": "or this"}),),
        unreadable=(Unreadable(object=POD, reason="Forbidden", message="pods/log"),),
    )
    text = text_of(verdict)
    in_order = ("Deployment shop/checkout", "Unavailable", "Pod shop/checkout-1", "e1  event")
    places = [text.index(word) for word in in_order]
    assert places == sorted(places)
    assert "confidence 95 %" in text
    assert "90s ago" in text
    assert "[bold]ConfigMap[/bold]" in text, "quoted text is never taken as markup"
    assert "or this" in text
    assert "Forbidden" in text


@pytest.mark.parametrize("outcome", [Outcome.NO_FAULT_FOUND, Outcome.UNDETERMINED])
def test_without_a_root_cause_the_message_is_the_answer(outcome: Outcome) -> None:
    assert "all is well" in text_of(Verdict(outcome=outcome, reason="X", message="all is well"))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_terminal(width: int) -> None:
    verdict = Verdict(outcome=Outcome.ROOT_CAUSE_FOUND, reason="R", message="m", root_causes=(CAUSE, CAUSE))
    assert max(len(line) for line in text_of(verdict, width).splitlines()) <= width


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (12, "12s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200_000, "2d")]
)
def test_ages_read_as_kubectl_says_them(seconds: int, text: str) -> None:
    assert age(NOW, NOW - timedelta(seconds=seconds)) == text
