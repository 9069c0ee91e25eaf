"""The components of a running cluster by name: start, stop, kill, pause and resume one of them.

What runs inside the cluster's namespaces is started by its process 1, the supervisor; this is the other end
of the supervisor's socket. Nothing is restarted by itself: a component that a test kills stays dead until
the test starts it again.
"""

import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ClusterError
from .paths import ClusterPaths, last_line
from .waiting import wait_for


@dataclass(frozen=True)
class Component:
    """One process of the cluster: what to run and under which name."""

    paths: ClusterPaths
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Its output; kept after the run."""
        return self.paths.log(self.name)

    def start(self) -> None:
        """Start it, as at the beginning."""
        ask(
            self.paths.control,
            {
                "do": "start",
                "name": self.name,
                "argv": self.argv,
                "env": {"PATH": os.defpath + ":/usr/sbin:/sbin", **self.env},
                "log": str(self.log),
            },
        )

    def stop(self, seconds: float = 20) -> None:
        """End it the polite way, and wait until it has ended."""
        self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL, 10)

    def pause(self) -> None:
        """Freeze it: its connections stay open and nothing answers (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    @property
    def running(self) -> bool:
        return self._exit() is None

    def must_run(self) -> None:
        """Raise if it has ended."""
        if not self.running:
            raise ClusterError(
                f"{self.name} ended (exit code {self._exit()}); see {self.log}; last line: {last_line(self.log)}"
            )

    def _end(self, number: signal.Signals, seconds: float) -> None:
        self._signal(number)
        wait_for(
            lambda: not self.running,
            seconds,
            lambda: f"{self.name} did not end within {seconds:g} s of {number.name}; see {self.log}",
        )

    def _signal(self, number: signal.Signals) -> None:
        ask(self.paths.control, {"do": "signal", "name": self.name, "signal": int(number)})

    def _exit(self) -> int | None:
        """Its exit code; None while it runs."""
        processes = ask(self.paths.control, {"do": "status"})["processes"]
        if self.name not in processes:
            return 0  # never started
        code: int | None = processes[self.name]["exit"]
        return code


def ask(control: Path, request: dict[str, Any], seconds: float = 10) -> dict[str, Any]:
    """Put a request to the supervisor and return its answer."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(control))
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                answer: dict[str, Any] = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise ClusterError(f"the cluster's supervisor does not answer on {control}: {error}") from error
    if "error" in answer:
        raise ClusterError(answer["error"])
    return answer
