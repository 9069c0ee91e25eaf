"""Thirteen faults on a real kubelet: the true root, its reason and field, with evidence that stands in the cluster."""

from __future__ import annotations

import pytest

from kubeagent.cli.stack import Stack
from tests.e2e.faults import ALONE, EARLY, TOGETHER, Case, Fault, cordoned_node
from tests.e2e.scene import Object, Scene
from tests.e2e.theatre import Result, Theatre

FAULTS: tuple[Fault, ...] = (*TOGETHER, *EARLY, *ALONE)


async def ask(scene: Scene, case: Case) -> Object:
    """One task about the target."""
    return await scene.ask(*case.target)


@pytest.fixture(scope="module")
def results(stack: Stack, theatre: Theatre) -> dict[str, Result]:
    return theatre.play((*TOGETHER, *EARLY), ask) | theatre.play(ALONE, ask)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_root_is_found(results: dict[str, Result], fault: Fault) -> None:
    result = results[fault.__name__]
    assert not result.error, result.error
    case, root = result.case, result.status.get("rootCause", {})
    found = root.get("object", {})
    assert (found.get("kind"), found.get("name"), found.get("fieldPath", ""), root.get("reason")) == (
        case.kind,
        case.name,
        case.field,
        case.reason,
    ), f"{result.status.get('outcome')}: {root.get('summary')}\n{result.status.get('conditions')}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_fault_gives_one_root_and_its_evidence_stands(results: dict[str, Result], fault: Fault) -> None:
    result = results[fault.__name__]
    assert not result.error, result.error
    others = [cause["summary"] for cause in result.status.get("otherRootCauses", [])]
    assert not others
    root = result.status["rootCause"]
    assert root["evidence"], "a root cause without evidence"
    assert not result.unfound
    assert root["chain"][-1]["object"]["kind"] == result.case.kind


def test_the_thirteen_are_all_there() -> None:
    assert len((*TOGETHER, *ALONE)) == 13
    assert cordoned_node in ALONE
