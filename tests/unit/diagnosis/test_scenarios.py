"""Incidents on file: tests/scenarios/<id>/evidence.json is judged and must give expected.yaml.

To add one, record the evidence of a real incident (`kubeagent diagnose -o evidence` or an agent's answer) and
say what the verdict must be: `outcome`, and of each root cause `reason`, `object`, `fieldPath` and at least
which `confidence`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeagent.diagnosis import judge
from kubeagent.protocol.evidence import decode
from kubeagent.resources.verdict import RootCause

SCENARIOS = Path(__file__).parents[2] / "scenarios"
FOLDERS = sorted(path.parent for path in SCENARIOS.glob("*/evidence.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_scenario(folder: Path) -> None:
    expected: dict[str, Any] = yaml.safe_load((folder / "expected.yaml").read_text())

    verdict = judge(decode((folder / "evidence.json").read_bytes()))

    assert verdict.outcome == expected["outcome"], verdict.message
    assert expected.get("reason") in (None, verdict.reason)
    wanted = expected.get("rootCauses", [])
    assert [_shape(cause) for cause in verdict.root_causes] == [_without_confidence(item) for item in wanted]
    for cause, item in zip(verdict.root_causes, wanted, strict=True):
        assert cause.confidence >= item.get("confidence", 0)


def test_there_are_scenarios() -> None:
    assert len(FOLDERS) >= 3


def _shape(cause: RootCause) -> dict[str, Any]:
    return {
        "reason": cause.reason,
        "category": str(cause.category),
        "object": str(cause.object.key),
        "fieldPath": cause.object.field_path or "",
    }


def _without_confidence(item: dict[str, Any]) -> dict[str, Any]:
    return {"fieldPath": ""} | {name: value for name, value in item.items() if name != "confidence"}
