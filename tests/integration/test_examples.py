"""Every example is applied to a real API server, as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import install

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))


@pytest.fixture(scope="module")
def server(kubectl: Kubectl) -> Kubectl:
    install(kubectl)
    return kubectl


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_is_taken_as_it_is(server: Kubectl, path: Path) -> None:
    if path.name != "shop.yaml" and path.parent.name == "shop":
        server.run("apply", "-f", str(path.with_name("shop.yaml")))
    try:
        assert server.run("apply", "-f", str(path)).strip().endswith(("created", "configured", "unchanged"))
    finally:
        server.run("delete", "-f", str(path), "--ignore-not-found", "--wait=false")


def test_there_are_examples() -> None:
    assert len(FILES) >= 3
