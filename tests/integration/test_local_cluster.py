"""The local test cluster does what the other live tests take for granted, and leaves nothing behind.

Its pods, names, Services and failed pulls are real; one component can be taken away and given back; and
whatever ends its owner, SIGKILL included, ends it too.
"""

import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import ClusterError, ExistingCluster, LocalCluster, choose, packages
from tests.cluster.images import APP
from tests.cluster.packages import wheel_path
from tests.cluster.paths import ClusterPaths


class Namespace:
    """A namespace of the cluster that one test has for itself."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.name = f"test-{uuid.uuid4().hex[:8]}"

    def kubectl(self, *arguments: str, stdin: dict[str, Any] | None = None, check: bool = True) -> str:
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.name}", *arguments],
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PATH": wheel_path()},
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def run(self, name: str, command: str, image: str = APP) -> None:
        """Start a pod that runs a shell command."""
        container = {"name": "main", "image": image, "command": ["sh", "-c", command]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, "restartPolicy": "Never"},
        }
        self.kubectl("create", "-f", "-", stdin=pod)

    def wait(self, name: str, condition: str) -> None:
        self.kubectl("wait", f"pod/{name}", f"--for={condition}", "--timeout=30s")

    def output(self, name: str) -> str:
        """The log of a pod that ran to its end."""
        self.wait(name, "jsonpath={.status.phase}=Succeeded")
        return self.kubectl("logs", name)


@pytest.fixture
def namespace(local_cluster: LocalCluster) -> Iterator[Namespace]:
    namespace = Namespace(local_cluster)
    namespace.kubectl("create", "namespace", namespace.name)
    eventually(lambda: "default" in namespace.kubectl("get", "serviceaccounts", "--output=name"), 20)
    yield namespace
    namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")


def eventually(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.1)


def test_the_node_is_ready_and_the_start_was_quick(local_cluster: LocalCluster, namespace: Namespace) -> None:
    ready = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    assert namespace.kubectl("get", "nodes", "--output", f"jsonpath={ready}") == "True"
    assert float(local_cluster.phases.split()[0]) < 15, local_cluster.phases


def test_a_pod_runs_and_its_log_and_shell_can_be_used(namespace: Namespace) -> None:
    namespace.run("hello", "echo hello from the pod; sleep 3600")
    namespace.wait("hello", "condition=Ready")

    assert namespace.kubectl("logs", "hello") == "hello from the pod\n"
    assert namespace.kubectl("exec", "hello", "--", "cat", "/etc/hostname") == "hello\n"


def test_names_and_addresses_of_services_work_and_nothing_outside_exists(namespace: Namespace) -> None:
    namespace.run("web", "exec httpd -f -p 8080 -h /var/www")
    namespace.kubectl("expose", "pod", "web", "--name=shop", "--port=80", "--target-port=8080", "--type=NodePort")
    namespace.wait("web", "condition=Ready")
    port = namespace.kubectl("get", "service", "shop", "--output=jsonpath={.spec.ports[0].nodePort}")
    node = namespace.cluster.link.node_address
    endpoint = "jsonpath={.endpoints[0].conditions.ready}=true"
    namespace.kubectl("wait", "endpointslice", "-lkubernetes.io/service-name=shop", f"--for={endpoint}")

    def fetch(url: str) -> str:
        return f"echo {url}: $(timeout 10 wget -qO- {url} 2>&1)"

    lookup = "nslookup nowhere.default.svc.cluster.local 2>&1 | grep -o NXDOMAIN | head -1"
    urls = [f"http://shop.{namespace.name}", f"http://{node}:{port}", "http://shop.example", "http://192.0.2.1"]
    namespace.run("client", "; ".join([*map(fetch, urls), lookup]))

    assert namespace.output("client").splitlines() == [
        f"http://shop.{namespace.name}: ok",
        f"http://{node}:{port}: ok",
        "http://shop.example: wget: bad address 'shop.example'",
        "http://192.0.2.1: wget: can't connect to remote host (192.0.2.1): No route to host",
        "NXDOMAIN",
    ]


def test_a_pod_reaches_a_server_on_the_host(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello from the host\n")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer((namespace.cluster.link.host_address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        namespace.run("client", f"timeout 10 wget -qO- http://{host!s}:{port}/")
        try:
            assert namespace.output("client") == "hello from the host\n"
        finally:
            server.shutdown()


def test_an_image_is_pullable_only_once_it_was_imported(namespace: Namespace) -> None:
    image = f"registry.example/shop:{uuid.uuid4().hex[:8]}"
    began = time.monotonic()
    namespace.run("before", "true", image)
    namespace.wait("before", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull")
    assert time.monotonic() - began < 6
    messages = namespace.kubectl("get", "events", "--field-selector=reason=Failed", "--output=jsonpath={..message}")
    assert "no such host" in messages

    namespace.cluster.import_image(image)
    namespace.run("after", "echo imported", image)
    assert namespace.output("after") == "imported\n"


def test_a_killed_component_stays_dead_until_it_is_started(namespace: Namespace) -> None:
    scheduler = namespace.cluster.component("kube-scheduler")
    scheduler.kill()
    try:
        assert not scheduler.running
        with pytest.raises(ClusterError, match=r"kube-scheduler ended \(exit code -9\); see .*; last line: "):
            scheduler.must_run()
        namespace.run("waiting", "echo scheduled")
        assert namespace.kubectl("get", "pod", "waiting", "--output=jsonpath={.spec.nodeName}") == ""
    finally:
        scheduler.start()
    assert namespace.output("waiting") == "scheduled\n"


def test_a_paused_api_server_hangs_and_comes_back(namespace: Namespace) -> None:
    api_server = namespace.cluster.component("kube-apiserver")
    api_server.pause()
    try:
        assert namespace.kubectl("get", "pods", "--request-timeout=1s", check=False) == ""
        assert api_server.running
    finally:
        api_server.resume()
    eventually(lambda: namespace.kubectl("get", "--raw=/readyz", check=False) == "ok", 20)


def test_the_audit_log_says_who_wrote_what(namespace: Namespace) -> None:
    name = f"note-{uuid.uuid4().hex[:8]}"
    namespace.kubectl("create", "configmap", name, "--from-literal=secret=s3cr3t")
    written = f"/api/v1/namespaces/{namespace.name}/configmaps"

    def entries() -> list[dict[str, Any]]:
        assert namespace.cluster.audit_log
        lines = namespace.cluster.audit_log.read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry.get("objectRef", {}).get("name") == name]

    eventually(lambda: bool(entries()), 10)
    (entry,) = entries()
    assert (entry["verb"], entry["requestURI"].split("?")[0], entry["user"]["username"]) == (
        "create",
        written,
        "kubeagent-test-admin",
    )
    assert "requestObject" not in entry


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_whatever_ends_the_owner_nothing_is_left(
    local_cluster: LocalCluster, tmp_path: Path, end: signal.Signals
) -> None:
    name = f"orphan-{uuid.uuid4().hex[:6]}"
    running = tmp_path / "running"
    pod = f"kubectl run sleeper --image={APP} -- sleep 3600 && kubectl wait pod/sleeper --for=condition=Ready"
    with owner_of(name, "sh", "-c", f"{pod} && touch {running} && exec sleep 3600") as owner:
        eventually(lambda: running.exists() or owner.poll() is not None, 60)
        processes = descendants(keeper_of(name))
        assert any("containerd-shim" in command for command in processes.values()), processes
        device = device_of(name)
        assert traces(name, device) == {"state", "lock", "device", "control groups"}

        if end is signal.SIGINT:
            os.killpg(owner.pid, end)  # as a terminal does
        else:
            owner.send_signal(end)
        owner.wait(30)

        eventually(lambda: not traces(name, device) and not any(map(lives, processes)), 20)
        assert owner.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[end]
    assert local_cluster.component("kubelet").running, "the other cluster goes on"


def test_even_without_its_keeper_a_cluster_ends_and_down_removes_the_rest(local_cluster: LocalCluster) -> None:
    name = f"orphan-{uuid.uuid4().hex[:6]}"
    up = subprocess.run([sys.executable, "-m", "tests.cluster", "up", "--name", name], capture_output=True, text=True)
    assert up.returncode == 0, up.stderr
    command = [sys.executable, "-m", "tests.cluster", "component", "--name", name, "restart", "coredns"]
    assert subprocess.run(command).returncode == 0, "another process can work with it"
    assert f"export KUBECONFIG={ClusterPaths(name).kubeconfig}" in up.stdout
    processes, device = descendants(keeper_of(name)), device_of(name)

    os.kill(keeper_of(name), signal.SIGKILL)
    eventually(lambda: not any(map(lives, processes)), 20)
    eventually(lambda: "device" not in traces(name, device), 20)
    down = subprocess.run([sys.executable, "-m", "tests.cluster", "down", "--name", name], capture_output=True)

    assert down.returncode == 0
    assert not traces(name, device)
    shutil.rmtree(ClusterPaths(name).logs)


def test_two_builds_at_once_build_once_and_say_how_far_they_are(tmp_path: Path) -> None:
    environment = with_fake_go(tmp_path, "sleep 1; echo built >> $log; echo k8s.io/some/package >&2")
    command = [sys.executable, "-m", "tests.cluster", "build"]
    builds = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [build.communicate(timeout=60) for build in builds]

    assert [build.returncode for build in builds] == [0, 0], outputs
    assert (tmp_path / "log").read_text() == "built\n"
    binaries = {stdout.splitlines()[0] for stdout, _ in outputs}
    assert len(binaries) == 1 and os.access(binaries.pop(), os.X_OK)
    assert "cluster: building Kubernetes 1." in "".join(stderr for _, stderr in outputs)


def test_a_failed_build_is_one_clear_line(tmp_path: Path) -> None:
    environment = with_fake_go(tmp_path, "echo no such module >&2; exit 1")
    build = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "build"], env=environment, capture_output=True, text=True
    )
    assert build.returncode == 1
    last = build.stderr.splitlines()[-1]
    assert "building Kubernetes 1." in last and last.endswith("last line: no such module"), last
    assert "Traceback" not in build.stderr


def test_a_package_that_cannot_be_installed_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: Unable to locate package nowhere' >&2\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(packages.PROGRAMS, "no-such-program", "nowhere")

    assert "nowhere" in packages.missing_packages()
    with pytest.raises(ClusterError, match=r"^apt-get could not install .*nowhere.*: E: Unable to locate package"):
        packages.install_missing()


def test_without_root_the_rung_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"^no cluster for the tests: .*the local cluster needs root"):
        choose({})


def test_the_ladder_uses_an_existing_cluster_only_when_told_to(local_cluster: LocalCluster, tmp_path: Path) -> None:
    somebody_elses = tmp_path / "kubeconfig"
    somebody_elses.write_text(local_cluster.kubeconfig.read_text())
    with choose({"KUBECONFIG": str(somebody_elses), "KUBEAGENT_USE_CLUSTER": "1"}) as rung:
        assert isinstance(rung, ExistingCluster)
        assert (rung.name, rung.server) == (local_cluster.name, local_cluster.server)
        with pytest.raises(ClusterError, match="from a registry only"):
            rung.import_image("registry.example/shop:1")
    with choose({"KUBECONFIG": str(local_cluster.kubeconfig), "KUBEAGENT_USE_CLUSTER": "1"}) as rung:
        assert isinstance(rung, LocalCluster) and rung.component("etcd").running
    assert local_cluster.component("etcd").running, "an existing cluster is not ended"
    with pytest.raises(ClusterError, match="KUBEAGENT_USE_CLUSTER=1 needs KUBECONFIG"):
        choose({"KUBEAGENT_USE_CLUSTER": "1"})


@contextmanager
def owner_of(name: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has a cluster of that name while it runs the command."""
    owner = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster", "run", "--name", name, "--", *command],
        env={key: value for key, value in os.environ.items() if key != "KUBEAGENT_USE_CLUSTER"},
        start_new_session=True,
    )
    try:
        yield owner
    finally:
        with suppress(ProcessLookupError):
            os.killpg(owner.pid, signal.SIGKILL)  # the command outlives an owner that was killed
        owner.wait()
        shutil.rmtree(ClusterPaths(name).logs, ignore_errors=True)


def with_fake_go(folder: Path, script: str) -> dict[str, str]:
    """An environment with an empty cache and a go command that is a script."""
    go = folder / "bin" / "go"
    go.parent.mkdir()
    is_build = '[ "$1" = env ] && { echo go9.9.9; exit; }\nwhile [ "$1" != -o ]; do shift; done'
    go.write_text(f"#!/bin/sh\nlog={folder}/log\n{is_build}\n{script}\necho '#!/bin/true' > $2; chmod +x $2\n")
    go.chmod(0o755)
    return {**os.environ, "PATH": f"{go.parent}:{os.environ['PATH']}", "KUBEAGENT_CACHE": str(folder / "cache")}


def keeper_of(name: str) -> int:
    return int(ClusterPaths(name).lock.read_text())


def device_of(name: str) -> int:
    """The index of the host's network device of a cluster, whose number is in the node's address."""
    config = json.loads(ClusterPaths(name).kubeconfig.read_text())
    return socket.if_nametoindex(f"kubeagent{config['clusters'][0]['cluster']['server'].split('.')[2]}")


def descendants(top: int) -> dict[int, str]:
    """The process and everything below it, with their command lines."""
    found: dict[int, str] = {}
    waiting = [top]
    while waiting:
        pid = waiting.pop()
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
    return found


def lives(pid: int) -> bool:
    """Whether the process is there; a zombie, whose parent is about to collect it, is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def traces(name: str, device: int) -> set[str]:
    """What of a cluster can be seen on the host."""
    signs = {
        "state": ClusterPaths(name).state.exists(),
        "lock": ClusterPaths(name).lock.exists(),
        "device": device in (index for index, _ in socket.if_nameindex()),
        "control groups": any(Path("/sys/fs/cgroup").glob(f"**/kubeagent-{name}")),
        "mounts": f"/{name}" in Path("/proc/self/mounts").read_text(),
        "network namespaces": any(Path("/run/netns").glob("*")),
    }
    return {sign for sign, seen in signs.items() if seen}
