"""Every fault of faults.py, gathered and judged: the first root cause, for each target that one may ask
about.
"""

from __future__ import annotations

import pytest

from kubeagent.diagnosis import render_causes
from kubeagent.diagnosis.rules import CATALOGUE
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Outcome
from tests.unit.diagnosis.build import told
from tests.unit.diagnosis.faults import FAULTS, Fault
from tests.unit.diagnosis.faults_changed import CHANGED
from tests.unit.diagnosis.faults_more import MORE

CASES = [
    pytest.param(fault, target, id=f"{fault.name} / {target.kind} {target.name}")
    for fault in (*FAULTS, *MORE, *CHANGED)
    for target in fault.targets
]


@pytest.mark.parametrize(("fault", "target"), CASES)
def test_root_cause(fault: Fault, target: ObjectKey) -> None:
    verdict = fault.cluster().diagnose(target)

    assert verdict.outcome is Outcome.ROOT_CAUSE_FOUND, verdict.message
    assert told(verdict.root_causes[0]) == (fault.reason, fault.object, fault.path), verdict.message
    assert len(verdict.root_causes) == 1, [told(cause) for cause in verdict.root_causes]
    for words in fault.says:
        assert words in verdict.root_causes[0].summary


def test_every_reason_of_the_catalogue_is_given_by_some_test() -> None:
    """The reasons that no fault here leads to have tests of their own."""
    given = {fault.reason for fault in (*FAULTS, *MORE, *CHANGED)}
    causes = {reason.code for reason in CATALOGUE if not reason.is_symptom}

    assert given <= causes
    assert causes - given == ELSEWHERE


def test_the_reference_page_lists_every_reason_once() -> None:
    page = render_causes()

    assert all(page.count(f"| `{reason.code}` |") == 1 for reason in CATALOGUE)
    assert len({reason.code for reason in CATALOGUE}) == len(CATALOGUE)


ELSEWHERE = {"ConfigMapChanged"}
