"""The owner's end of the keeper (keeper.py): start one, let it go, or end it."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Self

from .errors import ClusterError
from .leftovers import sweep
from .paths import REPOSITORY, ClusterPaths, try_lock
from .waiting import wait_for

DEFAULT_NAME = "kubeagent"


@dataclass(frozen=True)
class Keeper:
    """A running keeper: the cluster's names and numbers, and the process that ends when our pipe to it does."""

    paths: ClusterPaths
    number: int
    pid: int
    _process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, name: str | None) -> Self:
        """Make the namespaces of a new cluster; without a name, under the first free one."""
        for candidate in [name] if name else [DEFAULT_NAME, *(f"{DEFAULT_NAME}-{n}" for n in range(2, 10))]:
            paths = ClusterPaths(candidate)
            process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.keeper", candidate],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                answer = _first_line(process, 30)
            except BaseException:
                _end(process)
                raise
            if "error" not in answer:
                return cls(paths, answer["number"], answer["pid"], process)
            _end(process)
            if not answer["taken"]:
                break
        raise ClusterError(answer["error"])

    def end(self) -> None:
        """End the cluster, and return when the keeper has cleaned up."""
        _end(self._process)

    def let_go(self) -> None:
        """Let the cluster outlive this process."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(b"stay")
        stdin.close()
        stdout.close()
        self._process.returncode = 0  # it is not ours to wait for any more


def down(name: str, seconds: float = 30) -> bool:
    """End the cluster of that name, or remove what a dead one left; return whether one was running."""
    paths = ClusterPaths(name)
    was_running = False

    def is_down() -> bool:
        nonlocal was_running
        lock = try_lock(paths.lock)
        if lock is None:
            was_running = True
            with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
                os.kill(int(paths.lock.read_text()), signal.SIGTERM)
            return False
        if left := sweep(paths):
            raise ClusterError(f"could not remove {' '.join(left)}")
        paths.lock.unlink()
        os.close(lock)
        return True

    wait_for(
        is_down,
        seconds,
        lambda: f"cluster {name} did not end within {seconds:g} s; see {paths.log('keeper')}",
        every=0.2,
    )
    return was_running


def _first_line(process: "subprocess.Popen[bytes]", seconds: float) -> dict[str, Any]:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        raise ClusterError(f"the cluster's namespaces were not there within {seconds:g} s")
    line = process.stdout.readline()
    if not line:
        return {"error": "the cluster's keeper ended at its start", "taken": False}
    answer: dict[str, Any] = json.loads(line)
    return answer


def _end(process: "subprocess.Popen[bytes]", seconds: float = 40) -> None:
    """Close the pipe and wait until the keeper has cleaned up."""
    if process.returncode is not None:
        return
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"the cluster's keeper (process {process.pid}) did not end in {seconds:g} s") from None
    lines = process.stdout.read().splitlines()  # its first line too, if nobody came to read it
    process.stdout.close()
    if lines and "error" in (last := json.loads(lines[-1])):
        raise ClusterError(last["error"])
