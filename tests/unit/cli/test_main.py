"""The entry point: help, version, and errors as one message with exit code 2, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubeagent import __version__


def kubeagent(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "COVERAGE"))}
    return subprocess.run(
        [sys.executable, "-m", "kubeagent.cli.main", *arguments],
        capture_output=True,
        text=True,
        env={**kept, **environment},
        timeout=60,
        check=False,
    )


def test_version() -> None:
    assert kubeagent("version").stdout.strip() == f"kubeagent {__version__}"


def test_help_lists_the_commands() -> None:
    text = kubeagent("--help").stdout
    for command in ("diagnose", "hub", "agent", "demo", "cluster", "run", "install", "show", "version"):
        assert command in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("diagnose", "deployment/web"), ("no cluster", "KA-CONFIG")),
        (("diagnose", "deployment/web", "--from", "/nowhere"), ("--from", "KA-CONFIG")),
        (("agent",), ("CENTRAL_ENDPOINT", "KA-CONFIG")),
        (("cluster", "accept", "x"), ("KA-",)),
        (("install",), ("no cluster that answers", "KA-CLUSTER-DOWN")),
    ],
)
def test_an_error_is_one_message_with_advice_and_code(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    done = kubeagent(*arguments, HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("kubeagent: ")
    for word in words:
        assert word.lower() in done.stderr.lower()


def test_asking_about_nothing_in_particular_is_explained(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("""{apiVersion: v1, kind: Config, current-context: c,
        clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}],
        contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {token: t}}]}""")
    done = kubeagent("diagnose", "checkout", KUBECONFIG=str(config))
    assert (done.returncode, "is not KIND/NAME" in done.stderr) == (2, True), done.stderr
