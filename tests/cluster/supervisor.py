"""Process 1 of a cluster's own namespaces: it starts what it is told to and reaps what dies.

The cluster runs in process, mount and network namespaces of its own, and this is their first process. That
is what makes cleaning up certain: when it ends, however it ends, the kernel kills every process inside
(containers and their shims too) and drops every mount and network device with the namespaces. So this
process ends as soon as its standard input, a pipe from the keeper, is closed.

It takes one JSON request per connection on STATE/control.sock: {"do": "start", "name", "argv", "env",
"log"}, {"do": "signal", "name", "signal"} or {"do": "status"}. Only the standard library, and run by path:
it needs nothing but a Python interpreter.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any


class Supervisor:
    """The components by name, and what became of them."""

    def __init__(self) -> None:
        self.processes: dict[str, dict[str, Any]] = {}

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            return self.start(request)
        if request["do"] == "signal":
            return self.signal(request["name"], request["signal"])
        return {"processes": self.processes}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["name"]
        known = self.processes.get(name)
        if known is not None and known["exit"] is None:
            return {"error": f"{name} runs already"}
        appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawn(
            request["argv"][0],
            request["argv"],
            request["env"],
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, request["log"], appending, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self.processes[name] = {"pid": pid, "exit": None}
        return {}

    def signal(self, name: str, number: int) -> dict[str, Any]:
        process = self.processes.get(name)
        if process is None or process["exit"] is not None:
            return {"error": f"{name} is not running"}
        os.kill(process["pid"], number)
        return {}

    def reap(self) -> None:
        """Collect every child that ended: components, and orphans that became ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for process in self.processes.values():
                if process["pid"] == pid:
                    process["exit"] = os.waitstatus_to_exitcode(status)


def mount_privately(state: Path) -> None:
    """Give the node a /run, a /var/log and an /etc/resolv.conf that only these namespaces see."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    log = state / "var-log"
    log.mkdir()
    run("mount", "--bind", str(log), "/var/log")
    resolv = Path(os.path.realpath("/etc/resolv.conf"))  # often a link into the /run that was just hidden
    resolv.parent.mkdir(parents=True, exist_ok=True)
    resolv.touch()
    run("mount", "--bind", str(state / "resolv.conf"), str(resolv))
    run("mount", "--make-rshared", "/")


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def serve(connection: socket.socket, supervisor: Supervisor) -> None:
    with connection, connection.makefile("rwb") as stream:
        connection.settimeout(5)
        try:
            answer = supervisor.handle(json.loads(stream.readline()))
        except (OSError, ValueError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            stream.write(json.dumps(answer).encode() + b"\n")
            stream.flush()
        except OSError:
            pass  # the one who asked has gone


def main(state: Path) -> None:
    mount_privately(state)
    socket.sethostname(state.name)
    waking, wake = os.pipe()
    os.set_blocking(waking, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    supervisor = Supervisor()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(state / "control.sock"))
    listening.listen()
    selector = selectors.DefaultSelector()
    for source in (0, waking, listening):
        selector.register(source, selectors.EVENT_READ)
    os.write(1, b"ready\n")
    while True:
        for key, _ in selector.select():
            if key.fileobj == 0:
                return  # the keeper is gone, and everything here goes with us
            if key.fileobj == waking:
                os.read(waking, 4096)
                supervisor.reap()
            else:
                connection, _ = listening.accept()
                serve(connection, supervisor)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
