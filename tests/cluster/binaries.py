"""The Kubernetes of the test cluster: built once from the pinned Go module, then taken from the cache.

One binary holds every component (see kubernetes/main.go). It is cached by Kubernetes version and by a digest
of the module's files, so a change of a pin makes a new one and an old checkout finds its own. A lock lets
one build run at a time; a second one waits and takes the result.
"""

import hashlib
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .console import say
from .errors import ClusterError
from .paths import PACKAGE, cache_dir, last_line, locked

PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class GoModule:
    """The module's folder and what its go.mod pins."""

    folder: Path = PACKAGE / "kubernetes"

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in ("go.mod", "go.sum", "main.go"))

    @property
    def kubernetes_version(self) -> str:
        return self._pinned(r"^\s*k8s\.io/kubernetes v(\S+)$")

    @property
    def go_version(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self._pinned(r"^go (\S+)$").split("."))

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in self.files)).hexdigest()[:12]

    def _pinned(self, pattern: str) -> str:
        found = re.search(pattern, (self.folder / "go.mod").read_text(), re.MULTILINE)
        if found is None:
            raise ClusterError(f"{self.folder / 'go.mod'} has no line like {pattern}")
        return found[1]


def cached(module: GoModule) -> Path:
    """Where the binary of this module belongs in the cache."""
    return cache_dir() / f"{module.kubernetes_version}-{module.digest}" / "kubernetes"


def ensure(module: GoModule | None = None) -> Path:
    """The path of the binary, which is built first if it is not in the cache."""
    module = module or GoModule()
    binary = cached(module)
    if binary.exists():
        return binary
    with locked(cache_dir() / "build.lock", waiting="another process is building Kubernetes; waiting for it"):
        if not binary.exists():  # nobody built it while this process waited for the lock
            _build(module, binary)
    return binary


def _build(module: GoModule, binary: Path) -> None:
    go = packages.go_toolchain(module.go_version)
    version = module.kubernetes_version
    major, minor, _ = version.split(".", 2)
    stamp = "-X k8s.io/component-base/version."
    flags = f"-s -w {stamp}gitVersion=v{version} {stamp}gitMajor={major} {stamp}gitMinor={minor}"
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_suffix(".unfinished")
    log = cache_dir() / "logs" / f"build-{version}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"building Kubernetes {version} with {go} (once, some minutes; log: {log})")
    began = time.monotonic()
    try:
        with log.open("w") as output:
            command = [str(go), "build", "-v", "-trimpath", "-ldflags", flags, "-o", str(unfinished), "."]
            env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
            if setpriv := packages.find_program("setpriv"):
                command = [setpriv, "--pdeathsig", "TERM", *command]  # a build does not outlive who wants it
            building = subprocess.Popen(command, cwd=module.folder, stdout=output, stderr=output, env=env)
            try:
                code = _watch(building, log, version, began)
            finally:
                building.kill()
                building.wait()
        if code:
            raise ClusterError(f"building Kubernetes {version} failed; see {log}; last line: {last_line(log)}")
        unfinished.rename(binary)
    finally:
        unfinished.unlink(missing_ok=True)
    say(f"built Kubernetes {version} in {_clock(time.monotonic() - began)}")


def _watch(building: "subprocess.Popen[bytes]", log: Path, version: str, began: float) -> int:
    """Wait for the build and say now and then how far it is."""
    while True:
        try:
            return building.wait(PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            lines = log.read_text(errors="replace").count("\n")
            say(f"building Kubernetes {version}: {lines} packages, {_clock(time.monotonic() - began)}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"
