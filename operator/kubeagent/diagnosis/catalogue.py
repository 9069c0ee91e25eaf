"""docs/reference/causes.md, from the rule table."""

from __future__ import annotations

from kubeagent.diagnosis.findings import Reason
from kubeagent.diagnosis.rules import CATALOGUE

_HEAD = """# What the engine knows

A root cause has one of these reasons. Precision says how much the reason alone is worth: `exact` is proven
by fields or by the words of a component of Kubernetes, `specific` names the fault, `likely` and `generic`
leave room for others.

| reason | category | precision | looks at | advice |
|---|---|---|---|---|
"""
_SYMPTOMS = """
## Symptoms

Never a root cause; if nothing explains them the outcome is `Undetermined` with reason `NoExplanation`.

| symptom | category | looks at |
|---|---|---|
"""


def render_causes() -> str:
    """The reference page of all reasons."""
    causes = [_row(item) for item in CATALOGUE if not item.is_symptom]
    symptoms = [f"| `{item.code}` | {item.category} | {item.looks_at} |" for item in CATALOGUE if item.is_symptom]
    return _HEAD + "\n".join(causes) + "\n" + _SYMPTOMS + "\n".join(symptoms) + "\n"


def _row(reason: Reason) -> str:
    weight = reason.weight.name.lower()
    return f"| `{reason.code}` | {reason.category} | {weight} | {reason.looks_at} | {reason.advice} |"
