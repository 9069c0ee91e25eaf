"""The keeper: the one process outside a cluster's namespaces that lives and cleans up for it.

The owner (a test run, a command) starts it in a session of its own and holds the other end of its standard
input. When that pipe closes, because the owner is done or because it died in any way, SIGKILL included, the
keeper ends the namespaces and removes what the kernel does not: control groups and the state directory. If
the keeper itself is killed, the namespaces end all the same (see supervisor.py), and the next start or
`down` removes the rest. An owner that wants the cluster to outlive it writes "stay" first; then SIGTERM,
sent by `down`, ends it.

It holds the cluster's lock file for as long as it lives, so "is it running?" is "is the lock held?". Its
first line of output is JSON: {"number": N, "pid": P} (network number, process 1) or {"error": "..."}.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from . import cgroups, network
from .errors import ClusterError
from .leftovers import sweep, sweep_dead
from .paths import PACKAGE, ClusterPaths, try_lock

NAMESPACES = ("--net", "--mount", "--pid", "--ipc", "--uts")
UNSHARE = ("unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--")


class NameTaken(ClusterError):
    """Another cluster runs under this name."""


def keep(paths: ClusterPaths) -> None:
    """Hold the cluster's namespaces until the owner is gone or says so."""
    lock = try_lock(paths.lock)
    if lock is None:
        raise NameTaken(f"a cluster named {paths.name} is running already (`down --name {paths.name}` ends it)")
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    signals, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    left: list[str] = []
    try:
        sweep_dead()
        sweep(paths)
        prepare(paths)
        with subprocess.Popen(
            [*UNSHARE, sys.executable, "-I", str(PACKAGE / "supervisor.py"), str(paths.state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as namespaces:
            try:
                link = connect(namespaces, paths)
                try:
                    wait_for_end(namespaces, signals)
                finally:
                    if namespaces.poll() is None:  # else the device went with them, and its name may be another's
                        network.detach(link)
            finally:
                end(namespaces)
    finally:
        left = sweep(paths)
        if not left:
            paths.lock.unlink()
    if left:
        raise ClusterError(f"could not remove {' '.join(left)}")


def prepare(paths: ClusterPaths) -> None:
    """Make what must be there before the namespaces are."""
    shutil.rmtree(paths.logs, ignore_errors=True)
    paths.logs.mkdir(parents=True)
    log = os.open(paths.log("keeper"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)  # a cluster that outlives its owner must not hold the owner's standard error open
    os.close(log)
    paths.state.mkdir(parents=True, mode=0o711)
    (paths.state / "resolv.conf").touch()
    cgroups.create(paths.name)


def connect(namespaces: "subprocess.Popen[bytes]", paths: ClusterPaths) -> network.Link:
    """Wait for process 1, connect its network and tell the owner."""
    assert namespaces.stdout is not None
    if namespaces.stdout.readline() != b"ready\n":
        raise ClusterError(f"the cluster's namespaces could not be made; see {paths.log('keeper')}")
    link = network.attach(namespaces.pid)
    children = Path(f"/proc/{namespaces.pid}/task/{namespaces.pid}/children").read_text().split()
    tell({"number": link.number, "pid": int(children[0])})
    return link


def wait_for_end(namespaces: "subprocess.Popen[bytes]", signals: int) -> None:
    """Return when the owner closes the pipe, process 1 ends or a signal comes."""
    assert namespaces.stdout is not None
    with selectors.DefaultSelector() as selector:
        for source in (0, signals, namespaces.stdout):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj != 0 or not os.read(0, 64):
                    return
                selector.unregister(0)  # "stay": nobody waits at the other end from now on


def end(namespaces: "subprocess.Popen[bytes]") -> None:
    """End process 1, and with it everything inside: its parent returns when the last process is gone."""
    assert namespaces.stdin is not None
    namespaces.stdin.close()
    try:
        namespaces.wait(10)
    except subprocess.TimeoutExpired:
        namespaces.kill()


def tell(message: dict[str, object]) -> None:
    """One line for the owner, who may be gone."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def main(name: str) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        keep(ClusterPaths(name))
    except (ClusterError, OSError) as error:
        tell({"error": str(error), "taken": isinstance(error, NameTaken)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
