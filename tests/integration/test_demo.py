"""`make demo`, as a newcomer runs it: it ends with 0 and prints the true root cause; nothing is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = ["run", "--name", "demo", "--image", "docker.io/library/busybox:1.36", "--", sys.executable, "-m"]


@pytest.mark.timeout(240)
def test_the_demo_finds_the_lost_key() -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "KUBEAGENT_USE_CLUSTER")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", *COMMAND, "kubeagent.cli.main", "demo", "--yes"],
        cwd=ROOT,
        env=kept,
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
