"""The local cluster: a real control plane and a real node in namespaces of their own, without Docker.

    with LocalCluster.start() as cluster:
        subprocess.run(["kubectl", "get", "nodes"], env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)})

etcd, API server, controller-manager, scheduler, containerd, kubelet, kube-proxy and CoreDNS are processes
that `component(name)` stops, kills and pauses one by one. The keeper (keeper.py) ends everything when this
process ends, in whatever way.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from . import binaries, images, packages
from .errors import ClusterError
from .keeping import Keeper
from .network import Link
from .paths import STATE_ROOT, ClusterPaths
from .plan import Plan, write_json
from .processes import Component
from .startup import Phases, bring_up, components_of, ctr, must


@dataclass(frozen=True)
class LocalCluster:
    """A running local cluster. Made by `start`; ended by `close` or by leaving its `with` block."""

    name: str
    server: str
    kubeconfig: Path
    audit_log: Path
    logs: Path
    link: Link
    components: tuple[Component, ...]
    phases: str
    _pid: int
    _keeper: Keeper | None

    rung = "local cluster"
    uncovered = (
        "NetworkPolicy is not enforced",
        "there is one node",
        "there is no default StorageClass, metrics-server or load balancer",
        "images come from this machine, never from a registry",
    )

    @classmethod
    def start(cls, name: str | None = None) -> Self:
        """Bring a cluster up; without a name, under the first free one."""
        if lacks := packages.machine_lacks():
            raise ClusterError(lacks[0])
        packages.install_missing()
        binary = binaries.ensure()
        archive = images.ensure()
        phases = Phases()
        keeper = Keeper.start(name)
        try:
            phases.done("namespaces")
            plan = Plan(
                paths=keeper.paths,
                link=Link(keeper.number),
                binary=binary,
                cni_plugins=packages.cni_directory() or packages.CNI_DIRECTORIES[0],
                containerd=packages.find_program("containerd") or "containerd",
                snapshotter=_snapshotter(keeper.paths.state),
            )
            components = components_of(plan)
            phases.done("configuration")
            bring_up(plan, components, archive, phases)
            _remember(keeper, components, str(phases))
            return cls._of(keeper.paths, keeper)
        except BaseException:
            keeper.end()
            raise

    @classmethod
    def attach(cls, kubeconfig: Path) -> Self | None:
        """The local cluster that this kubeconfig belongs to, if it is one. Closing it does not end it."""
        if kubeconfig.parent.parent != STATE_ROOT:
            return None
        paths = ClusterPaths(kubeconfig.parent.name)
        return cls._of(paths, None) if _memory(paths).exists() else None

    @classmethod
    def _of(cls, paths: ClusterPaths, keeper: Keeper | None) -> Self:
        memory = json.loads(_memory(paths).read_text())
        link = Link(memory["number"])
        return cls(
            name=paths.name,
            server=f"https://{link.node_address}:6443",
            kubeconfig=paths.kubeconfig,
            audit_log=Path(memory["logs"]) / "audit.jsonl",
            logs=Path(memory["logs"]),
            link=link,
            components=tuple(Component(paths, name, tuple(argv)) for name, argv in memory["components"].items()),
            phases=memory["phases"],
            _pid=memory["pid"],
            _keeper=keeper,
        )

    def component(self, name: str) -> Component:
        """One process of the cluster, such as "kubelet"."""
        for component in self.components:
            if component.name == name:
                return component
        raise ClusterError(f"no component {name}: one of {', '.join(each.name for each in self.components)}")

    def import_image(self, tag: str, archive: Path | None = None) -> None:
        """Put an image on the node: busybox under this tag, or what a docker archive has under it."""
        paths = ClusterPaths(self.name)
        if archive is None:
            must(ctr(paths, "images", "tag", "--force", images.APP, tag))
            return
        must(ctr(paths, "images", "import", str(archive)))
        if tag not in ctr(paths, "images", "list", "--quiet").stdout.split():
            raise ClusterError(f"{archive} does not have the image {tag}")

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a command inside the cluster's namespaces, as root of the node."""
        namespaces = ("--net", "--mount", "--pid", "--ipc", "--uts")
        return ["nsenter", f"--target={self._pid}", *namespaces, "--", *argv]

    def close(self) -> None:
        """End the cluster, if it was started here, and return when nothing of it is left."""
        if self._keeper is not None:
            self._keeper.end()

    def stay(self) -> None:
        """Let the cluster outlive this process; `keeping.down(name)` ends it."""
        if self._keeper is not None:
            self._keeper.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _memory(paths: ClusterPaths) -> Path:
    return paths.state / "cluster.json"


def _remember(keeper: Keeper, components: Sequence[Component], phases: str) -> None:
    """Write down what another process needs to work with the cluster."""
    memory = {
        "number": keeper.number,
        "pid": keeper.pid,
        "phases": phases,
        "logs": str(keeper.paths.logs),
        "components": {component.name: component.argv for component in components},
    }
    write_json(_memory(keeper.paths), memory)


def _snapshotter(folder: Path) -> str:
    """overlayfs, except on an overlay file system (inside a container), which cannot carry another one."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout.strip()
    return "native" if kind == "overlayfs" else "overlayfs"
