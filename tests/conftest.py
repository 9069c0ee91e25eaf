"""What all tests share: the cluster fixture, the seed of this run, and a closing word on what ran where."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import settings

from kubeagent.cli.kubectl import Kubectl
from tests.cluster import Rung

pytest_plugins = ["tests.cluster.fixture"]

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "search")
"""CI repeats what it ran; everybody else's run searches further."""

SEED = int(os.environ.get("KUBEAGENT_SEED") or random.SystemRandom().randrange(1_000_000))
_in_use: list[Rung] = []


@pytest.fixture(scope="session")
def seed() -> int:
    """Names and ports of live tests are drawn from it; KUBEAGENT_SEED repeats a run."""
    return SEED


@pytest.fixture(scope="session")
def kubectl(cluster: Rung) -> Kubectl:
    """kubectl with the administrator's rights on the session's cluster."""
    _in_use.append(cluster)
    return Kubectl(kubeconfig=str(cluster.kubeconfig))


def pytest_report_header() -> str:
    """The seed stands at the top of every run."""
    return f"seed: {SEED} (repeat with KUBEAGENT_SEED={SEED})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Live tests start components and wait for a kubelet: they get more time than the default."""
    for item in items:
        room = Path(str(item.path)).relative_to(Path(__file__).parent).parts[0]
        item.add_marker(getattr(pytest.mark, room if room in ("integration", "e2e", "contract") else "unit"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which cluster the run had, and what it therefore did not cover."""
    for rung in {id(each): each for each in _in_use}.values():
        terminalreporter.section("cluster")
        terminalreporter.line(f"{rung.rung} {rung.name} at {rung.server}")
        terminalreporter.line(f"not covered: {'; '.join(rung.uncovered)}")
