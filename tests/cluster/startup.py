"""Bringing a cluster's components up in the right order, each waited for with a time limit.

The order is the quickest that is honest: what needs nobody first, images while the API server starts, and
everything that talks to it once it answers. A component that ends while it is waited for ends the wait.
"""

import functools
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import control_plane, node
from .api import Api, is_healthy
from .dns import api_objects, coredns
from .errors import ClusterError
from .paths import ClusterPaths, last_line
from .plan import Plan, write_json
from .processes import Component
from .waiting import wait_for

FIRST = ("etcd", "kube-apiserver", "containerd")  # the others start when the API server answers


class Phases:
    """How long each part of the start took."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._taken: list[str] = []

    def done(self, phase: str) -> None:
        now = time.monotonic()
        self._taken.append(f"{phase} {now - self._last:.1f}")
        self._last = now

    def __str__(self) -> str:
        return f"{self._last - self._began:.1f} s ({', '.join(self._taken)})"


def components_of(plan: Plan) -> tuple[Component, ...]:
    """Write every configuration and return the components in the order of their start."""
    write_json(plan.paths.kubeconfig, plan.kubeconfig("admin", plan.admin))
    return (
        control_plane.etcd(plan),
        control_plane.api_server(plan),
        node.containerd(plan),
        control_plane.controller_manager(plan),
        control_plane.scheduler(plan),
        node.kubelet(plan),
        node.proxy(plan),
        coredns(plan),
    )


def bring_up(plan: Plan, components: Sequence[Component], archive: Path, phases: Phases) -> None:
    """Start everything, and return when pods can be scheduled, run, found and reached."""
    by_name = {component.name: component for component in components}
    address = plan.link.node_address
    api = Api(address, plan.authority.identity.certificate, plan.admin)
    for name in FIRST:
        by_name[name].start()
    _ready(by_name["containerd"], 30, lambda: ctr(plan.paths, "version").returncode == 0)
    must(ctr(plan.paths, "images", "import", "--snapshotter", plan.snapshotter, str(archive)))
    phases.done("containerd and images")
    _ready(by_name["kube-apiserver"], 60, lambda: api.get("/readyz")[0] == 200)
    phases.done("API server")
    for component in components:
        if component.name not in FIRST:
            component.start()
    for path, body in api_objects(address).items():
        _ready(by_name["kube-apiserver"], 30, functools.partial(_create, api, path, body))
    _ready(by_name["kube-controller-manager"], 60, lambda: _has_default_account(api))
    phases.done("controllers")
    _ready(by_name["kubelet"], 60, lambda: _node_is_ready(api, plan.paths.name))
    phases.done("node")
    _ready(by_name["kube-proxy"], 30, lambda: is_healthy(address, 10256, "/healthz"))
    _ready(by_name["coredns"], 30, lambda: is_healthy(address, 8181, "/ready"))
    phases.done("proxy and DNS")
    for component in components:
        component.must_run()


def ctr(paths: ClusterPaths, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run containerd's own client against the cluster's containerd."""
    command = ["ctr", "--address", str(paths.containerd), "--namespace", "k8s.io", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def must(done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode:
        raise ClusterError(f"{' '.join(done.args)}: {' '.join(done.stderr.split())}")


def _ready(component: Component, seconds: float, condition: Callable[[], bool]) -> None:
    def works() -> bool:
        component.must_run()
        return condition()

    wait_for(
        works,
        seconds,
        lambda: (
            f"{component.name} did not become ready in {seconds:g} s; see {component.log};"
            f" last line: {last_line(component.log)}"
        ),
    )


def _create(api: Api, path: str, body: dict[str, Any]) -> bool:
    return api.post(path, body)[0] in (201, 409)


def _has_default_account(api: Api) -> bool:
    return api.get("/api/v1/namespaces/default/serviceaccounts/default")[0] == 200


def _node_is_ready(api: Api, name: str) -> bool:
    status, node = api.get(f"/api/v1/nodes/{name}")
    if status != 200 or node["spec"].get("taints"):
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))
