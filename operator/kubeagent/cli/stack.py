"""NATS, hub and agent as processes of this machine, against the current cluster: what `run`, `demo` and the tests use.

Each process gets its own ServiceAccount's token, its own folder and its own environment; they share nothing but NATS,
as in a cluster. All are ended when the stack is closed, by the ids that it started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from kubeagent.cli import manifests
from kubeagent.cli.cluster import RESOURCE
from kubeagent.cli.identity import write_kubeconfig
from kubeagent.cli.kubectl import Kubectl, find_program
from kubeagent.errors import ClusterError, ClusterUnavailable, KubeAgentError
from kubeagent.protocol.rbac import AGENT_ACCOUNT
from kubeagent.resources.diagnosistask import LOCAL
from kubeagent.resources.policies import HUB_ACCOUNT

_STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "KUBERNETES_SERVICE_HOST", "COVERAGE_PROCESS_START")
_INHERITED_PREFIXES = ("OTEL_", "COVERAGE_")

Progress = Callable[[str], None]


class Process:
    """One child process with its log in a file; `start`, `stop` and `kill` may follow each other."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output is appended to the log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    @property
    def pid(self) -> int:
        """The id of the running process."""
        if self._process is None:
            raise KubeAgentError(f"{self.name} was not started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)

    def last_lines(self, count: int = 5) -> str:
        """The end of its log, for a message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


class Stack:
    """NATS, hub and agent, up and joined. Use as a context manager."""

    def __init__(
        self,
        kubectl: Kubectl,
        *,
        cluster_id: str = LOCAL,
        nats_url: str | None = None,
        hub_environment: dict[str, str] | None = None,
        agent_environment: dict[str, str] | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self.kubectl = kubectl
        self.cluster_id = cluster_id
        self._given_nats = nats_url
        self._hub_environment = hub_environment or {}
        self._agent_environment = agent_environment or {}
        self._progress = progress
        self._exit = ExitStack()
        self.folder = Path()
        self.nats_url = ""
        self.nats: Process | None = None
        self.hub: Process
        self.agent: Process

    def __enter__(self) -> Self:
        with self._exit:
            self.folder = Path(self._exit.enter_context(TemporaryDirectory(prefix="kubeagent-")))
            self._install()
            self._start_nats()
            self._start_hub()
            self._start_agent()
            self._exit = self._exit.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def processes(self) -> list[Process]:
        """Those that run, in order of starting."""
        return [process for process in (self.nats, self.hub, self.agent) if process is not None]

    def _install(self) -> None:
        self._progress("kinds, policies and roles")
        install(self.kubectl)

    def _start_nats(self) -> None:
        if self._given_nats:
            self.nats_url = self._given_nats
            return
        port = free_port()
        program = find_program("nats-server", "as the transport (or give --nats-url)")
        folder = self._folder("nats")
        command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
        self.nats_url = f"nats://127.0.0.1:{port}"
        self.nats = self._start(Process("nats", command, folder, self._environment({})))
        self._progress(f"NATS with JetStream on {self.nats_url}")

    def _start_hub(self) -> None:
        folder = self._folder("hub")
        environment = {
            "KUBECONFIG": str(write_kubeconfig(self.kubectl, HUB_ACCOUNT, folder / "kubeconfig")),
            "KUBEAGENT_NATS_URL": self.nats_url,
            "KUBEAGENT_PEERING": "false",
            "KUBEAGENT_HEALTH_PORT": "0",
            "KUBEAGENT_METRICS_PORT": "0",
            **self._hub_environment,
        }
        self.hub = self._start(Process("hub", _kubeagent("hub"), folder, self._environment(environment)))
        self._progress(f"hub as ServiceAccount {HUB_ACCOUNT} (log: {self.hub.log})")

    def _start_agent(self) -> None:
        folder = self._folder("agent")
        environment = {
            "KUBECONFIG": str(write_kubeconfig(self.kubectl, AGENT_ACCOUNT, folder / "kubeconfig")),
            "CENTRAL_ENDPOINT": self.nats_url,
            "CLUSTER_ID": self.cluster_id,
            "HEALTH_PORT": "0",
            "MAX_RETRIES": "0",
            **self._agent_environment,
        }
        self.agent = self._start(Process("agent", _kubeagent("agent"), folder, self._environment(environment)))
        self._progress(f"agent as ServiceAccount {AGENT_ACCOUNT} (log: {self.agent.log})")

    def _start(self, process: Process) -> Process:
        process.start()
        self._exit.callback(process.stop)
        return process

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return folder

    @staticmethod
    def _environment(own: dict[str, str]) -> dict[str, str]:
        """Only what a process needs: never the caller's KUBECONFIG."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
        }
        return {**kept, "PYTHONUNBUFFERED": "1", **own}

    def wait_for_registration(self, seconds: float = 60.0) -> None:
        """Until the agent's ManagedCluster is there. Raises with the end of the logs."""
        self.wait(self._registered, f"cluster {self.cluster_id} to register", seconds)

    def wait_until_available(self, seconds: float = 60.0) -> None:
        """Until the cluster is accepted and its agent heard of."""
        self.wait(self._available, f"cluster {self.cluster_id} to be available", seconds)

    def wait(self, done: Callable[[], bool], what: str, seconds: float) -> None:
        """Poll until `done`, a process ends, or the time is up. Raises ClusterError."""
        deadline = time.monotonic() + seconds
        while not done():
            ended = [process for process in self.processes if not process.alive]
            if ended:
                raise ClusterError(f"{ended[0].name} ended while waiting for {what}:\n{ended[0].last_lines()}")
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {each.name}\n{each.last_lines()}" for each in self.processes)
                raise ClusterError(f"waited {seconds:.0f} s for {what}\n{tails}")
            time.sleep(0.2)

    def _registered(self) -> bool:
        return bool(self.kubectl.run("get", RESOURCE, self.cluster_id, "--ignore-not-found", "-o", "name").strip())

    def _available(self) -> bool:
        text = self.kubectl.run(
            "get",
            RESOURCE,
            self.cluster_id,
            "-o",
            'jsonpath={.status.conditions[?(@.type=="Available")].status}',
        )
        return text == "True"


def install(kubectl: Kubectl) -> None:
    """Apply the kinds, wait until they are served, then namespace, policies, accounts and roles."""
    _require_cluster(kubectl)
    kubectl.apply(manifests.crds())
    kubectl.run("wait", "--for=condition=Established", "--timeout=30s", *_crd_names())
    kubectl.apply((*manifests.hub(), *manifests.agent()[1:]))


def _require_cluster(kubectl: Kubectl) -> None:
    try:
        kubectl.run("get", "--raw", "/readyz", "--request-timeout=10s")
    except ClusterError as exc:
        raise ClusterUnavailable(f"the current context leads to no cluster that answers: {exc.message}") from exc


def uninstall(kubectl: Kubectl) -> None:
    """Remove what install applied, objects of our kinds included; nothing of ours holds a finalizer."""
    for each in reversed((*manifests.hub(), *manifests.agent()[1:])):
        metadata = each["metadata"]
        where = ["-n", metadata["namespace"]] if "namespace" in metadata else []
        kubectl.run("delete", each["kind"], metadata["name"], *where, "--ignore-not-found", "--wait=false")


def _crd_names() -> list[str]:
    return [f"crd/{each['metadata']['name']}" for each in manifests.crds()]


def _end_with_parent() -> None:
    """In the child: the kernel ends it when its parent is gone, even one that was killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _kubeagent(command: str) -> list[str]:
    return [sys.executable, "-m", "kubeagent.cli.main", command]


def free_port() -> int:
    """A free TCP port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
