"""What the layout of the repository promises."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_source_root_is_no_package() -> None:
    """`operator` is a module of the standard library: an __init__.py here would hide it from `python -m`."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_the_standard_library_still_wins_from_the_root() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.eq(1, 1))"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


def test_the_lock_is_hash_pinned_and_names_no_host() -> None:
    lock = (ROOT / "requirements" / "dev.lock").read_text()
    pins = [line for line in lock.splitlines() if "==" in line]
    assert len(pins) > 50
    assert "://" not in lock
    assert all(line.rstrip().endswith("\\") for line in pins), "each pin is followed by its hashes"
