"""Healthy and benign situations: no fault, and nothing reported."""

from __future__ import annotations

import pytest

from kubeagent.cli.stack import Stack
from tests.e2e.controls import CONTROLS, Control
from tests.e2e.scene import Object, Scene
from tests.e2e.theatre import Result, Theatre


async def ask(scene: Scene, target: tuple[str, str]) -> Object:
    return await scene.ask(*target)


@pytest.fixture(scope="module")
def results(stack: Stack, theatre: Theatre) -> dict[str, Result]:
    return theatre.play(CONTROLS, ask)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.__name__)
def test_nothing_is_reported(results: dict[str, Result], control: Control) -> None:
    result = results[control.__name__]
    assert not result.error, result.error
    status = result.status
    assert status.get("outcome") == "NoFaultFound", status.get("rootCause") or status.get("conditions")
    assert not {"rootCause", "otherRootCauses", "alternatives"} & status.keys()
