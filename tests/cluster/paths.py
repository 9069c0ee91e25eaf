"""Where the test cluster keeps things: a cache that stays, logs that stay, state that goes.

The cache and the logs of the last run live below ${KUBEAGENT_CACHE:-~/.cache/kubeagent}, outside the
repository. The state of a running cluster is a directory of root's: short, because Unix socket paths may
have 107 characters only, and always the same, so that a later run finds what a dead one left.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .console import say
from .errors import ClusterError

STATE_ROOT = Path("/var/lib/kubeagent-clusters")
PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent.parent


def cache_dir() -> Path:
    """The directory for built binaries, images and logs."""
    return Path(os.environ.get("KUBEAGENT_CACHE") or Path.home() / ".cache" / "kubeagent").absolute()


@dataclass(frozen=True)
class ClusterPaths:
    """The files of one cluster, by its name."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?", self.name):
            raise ClusterError(f"cluster name {self.name!r}: lower-case letters, digits and dashes, 30 at most")

    @property
    def state(self) -> Path:
        return STATE_ROOT / self.name

    @property
    def lock(self) -> Path:
        return STATE_ROOT / f"{self.name}.lock"

    @property
    def control(self) -> Path:
        return self.state / "control.sock"

    @property
    def containerd(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "admin.kubeconfig"

    @property
    def logs(self) -> Path:
        return cache_dir() / "logs" / self.name

    def log(self, component: str) -> Path:
        return self.logs / f"{component}.log"


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, for error messages."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        return "(no log)"
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "(empty log)")


def try_lock(path: Path) -> int | None:
    """Take the lock file and return its descriptor, or None while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _still_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last holder removed it between our open and our lock


def _still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock file, saying so where another process holds it and has to be waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
