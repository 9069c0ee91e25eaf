"""The one thing of a cluster that does not end with its namespaces: its control groups.

Every container runs below /kubeagent-NAME in each cgroup hierarchy of the machine (version 1, 2 or both).
They are made before the kubelet starts, which insists on finding its root, and removed when nothing runs
in them any more.
"""

import contextlib
import time
from pathlib import Path


def create(name: str) -> None:
    """Make the cluster's group in every hierarchy."""
    for hierarchy in _hierarchies():
        _enable_controllers(hierarchy)
        (hierarchy / group(name).lstrip("/")).mkdir(exist_ok=True)


def remove(name: str, seconds: float = 10) -> list[Path]:
    """Remove the cluster's groups, inner ones first; return what could not be removed in time."""
    deadline = time.monotonic() + seconds
    while left := [path for top in existing(name) for path in _remove_tree(top)]:
        if time.monotonic() >= deadline:
            return left
        time.sleep(0.05)
    return []


def existing(name: str) -> list[Path]:
    """The cluster's groups that are there."""
    tops = (hierarchy / group(name).lstrip("/") for hierarchy in _hierarchies())
    return [top for top in tops if top.exists()]


def group(name: str) -> str:
    """The cluster's group, as the kubelet takes it."""
    return f"/kubeagent-{name}"


def _hierarchies() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def _enable_controllers(hierarchy: Path) -> None:
    """Version 2 hands its controllers down only where it is told to."""
    control = hierarchy / "cgroup.subtree_control"
    if control.exists():
        available = (hierarchy / "cgroup.controllers").read_text().split()
        for controller in available:
            with contextlib.suppress(OSError):  # the kubelet names those it misses
                control.write_text(f"+{controller}")


def _remove_tree(top: Path) -> list[Path]:
    left = []
    inner = [path for path in top.rglob("*") if path.is_dir()] if top.exists() else []
    for path in [*sorted(inner, reverse=True), top]:
        try:
            path.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            left.append(path)
    return left
