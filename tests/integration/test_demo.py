"""`make demo` and `make run` as a newcomer runs them: on a cluster of their own, no question asked, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KUBEAGENT = [sys.executable, "-m", "kubeagent.cli.main"]


def in_cluster(name: str, *command: str) -> list[str]:
    image = ["--image", "docker.io/library/busybox:1.36"]
    return [sys.executable, "-m", "tests.cluster", "run", "--name", name, *image, "--", *KUBEAGENT, *command]


def environment() -> dict[str, str]:
    """Ours, without the cluster that the test session uses."""
    return {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "KUBEAGENT_USE_CLUSTER")}


@pytest.mark.timeout(240)
def test_the_demo_finds_the_lost_key() -> None:
    done = subprocess.run(
        in_cluster("demo", "demo", "--yes"),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=230,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checkout-down" in done.stdout
    assert "lost key DB_HOST" in done.stdout
    assert "ConfigMap shop/checkout-env data.DB_HOST" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.timeout(240)
def test_run_is_ready_by_itself_and_ends_with_a_signal_leaving_no_process(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("wb") as sink:
        running = subprocess.Popen(
            in_cluster("laptop", "run"), cwd=ROOT, env=environment(), stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 120
        while "Ready:" not in output.read_text():
            assert running.poll() is None and time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)
    finally:
        running.send_signal(signal.SIGTERM)
        code = running.wait(60)
    assert code in (0, 128 + signal.SIGTERM), output.read_text()
    assert "Traceback" not in output.read_text()
    logs = [Path(word.rstrip(")")) for word in output.read_text().split() if word.endswith(".log)")]
    assert len(logs) == 2
    assert not any(log.exists() for log in logs), "the folders of hub and agent are gone"
