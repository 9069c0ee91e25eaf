"""What a cluster leaves outside its namespaces when it ends, and its removal.

That is little: control groups, which are empty by then, and the state directory. Everything else the kernel
has removed. It is safe to call at any time for a cluster that does not run, and for one that never did.
"""

import os
import shutil

from . import cgroups
from .paths import STATE_ROOT, ClusterPaths, try_lock


def sweep(paths: ClusterPaths) -> list[str]:
    """Remove what a cluster leaves outside its namespaces; return what could not be removed."""
    left = [str(path) for path in cgroups.remove(paths.name)]
    shutil.rmtree(paths.state, ignore_errors=True)
    if paths.state.exists():
        left.append(str(paths.state))
    return left


def sweep_dead() -> None:
    """Remove what clusters left whose keeper was killed: their state is there, and nobody holds the lock."""
    for state in STATE_ROOT.iterdir():
        if state.is_dir():
            paths = ClusterPaths(state.name)
            lock = try_lock(paths.lock)
            if lock is not None:
                if not sweep(paths):
                    paths.lock.unlink()
                os.close(lock)
