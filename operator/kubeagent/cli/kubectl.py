"""kubectl, run as a person would: demo, install and run show these very commands.

The diagnosis itself never runs kubectl; this is only for setting up and showing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeagent.errors import ClusterError, ConfigError

_TIMEOUT_SECONDS = 120


def find_program(name: str, purpose: str) -> str:
    """The program's path: beside this Python first (a wheel), then on PATH. Raises ConfigError."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise ConfigError(f"{name} is needed {purpose} and is not on PATH")
    return found


@dataclass(frozen=True)
class Kubectl:
    """kubectl against one context of one kubeconfig."""

    context: str | None = None
    kubeconfig: str | None = None
    program: str = field(default_factory=lambda: find_program("kubectl", "to talk to the cluster"))

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Its standard output. Raises ClusterError with what it said."""
        try:
            done = subprocess.run(
                [self.program, *self._where(), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                env=self.environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise ClusterError(f"kubectl {' '.join(arguments)} took more than {_TIMEOUT_SECONDS} s") from exc
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """What it printed with `-o json`."""
        return json.loads(self.run(*arguments, "-o", "json"))

    def apply(self, objects: Iterable[dict[str, Any]]) -> str:
        """Server-side apply of objects, in order."""
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.run(
            "apply", "--server-side", "--force-conflicts", "--field-manager=kubeagent", "-f", "-", stdin=body
        )

    def environment(self) -> dict[str, str]:
        """The environment to run it in."""
        return {**os.environ, **({"KUBECONFIG": self.kubeconfig} if self.kubeconfig else {})}

    def _where(self) -> list[str]:
        return ["--context", self.context] if self.context else []
