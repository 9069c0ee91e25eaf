"""A process of the stack ends with its parent, however the parent ended."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

PARENT = """
    import os, sys
    from pathlib import Path
    from kubeagent.cli.stack import Process
    process = Process("child", [sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]), {})
    process.start()
    print(process.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
