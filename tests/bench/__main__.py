"""`make bench`: what a user waits for, measured on a real cluster in one run, printed as a table.

Figures depend on the machine; what is compared between machines and versions are ratios within one run. How to read
them, and dated results, are in docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from kubeagent.cli.cluster import accept
from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack
from kubeagent.errors import NotFound
from kubeagent.kube.client import Client, connect
from kubeagent.protocol.reads import Get
from kubeagent.resources.refs import ObjectKey
from tests.cluster import choose

TASKS = 50
WARM_UP = 5
SPACE = "bench"
LOOK_SECONDS = 0.005


def main() -> int:
    """Bring everything up, measure, print."""
    with choose(name="bench") as cluster:
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        kubectl = Kubectl(kubeconfig=str(cluster.kubeconfig))
        with Stack(kubectl) as stack:
            stack.wait_for_registration()
            accept(stack.cluster_id, None, kubectl.kubeconfig)
            stack.wait_until_available()
            _break_something(kubectl, stack)
            figures = asyncio.run(_measure())
            memory = {process.name: _resident_mebibytes(process.pid) for process in stack.processes}
    _print(figures, memory)
    return 0


def _break_something(kubectl: Kubectl, stack: Stack) -> None:
    """A Deployment whose image nobody has."""
    kubectl.run("create", "namespace", SPACE)
    kubectl.run("create", "deployment", "web", "-n", SPACE, "--image=registry.example/nobody-has-it:1")

    def failing() -> bool:
        return "ImagePull" in kubectl.run("get", "pods", "-n", SPACE)

    stack.wait(failing, "the image pull to fail", 60)


async def _measure() -> dict[str, list[float]]:
    """Milliseconds from the request that creates a task, and from its being answered, to its root cause."""
    figures: dict[str, list[float]] = {"apply -> status.rootCause": [], "of that, the API server's create": []}
    async with connect() as client:
        for number in range(WARM_UP + TASKS):
            created, found = await _one(client, f"task-{number}")
            if number >= WARM_UP:
                figures["of that, the API server's create"].append(created)
                figures["apply -> status.rootCause"].append(found)
    return figures


async def _one(client: Client, name: str) -> tuple[float, float]:
    key = ObjectKey("kubeagent.io/v1", "DiagnosisTask", SPACE, name)
    began = time.perf_counter()
    await client.create(
        {
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": {"name": name, "namespace": SPACE},
            "spec": {"target": {"kind": "Deployment", "name": "web"}},
        }
    )
    created = time.perf_counter()
    deadline = created + 60
    while time.perf_counter() < deadline:
        if await _has_root_cause(client, key):
            return (created - began) * 1000, (time.perf_counter() - began) * 1000
        await asyncio.sleep(LOOK_SECONDS)
    raise SystemExit(f"{name} had no root cause after 60 s")


async def _has_root_cause(client: Client, key: ObjectKey) -> bool:
    try:
        return "rootCause" in (await client.get(Get(key))).get("status", {})
    except NotFound:
        return False


def _resident_mebibytes(pid: int) -> float:
    """What the process holds in memory, by the kernel's account."""
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def _print(figures: dict[str, list[float]], memory: dict[str, float]) -> None:
    out = sys.stdout.write
    out(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, {TASKS} tasks\n\n"
    )
    out("| what (ms) | p50 | p95 | max |\n|---|---|---|---|\n")
    for name, values in figures.items():
        p95 = statistics.quantiles(values, n=20)[18]
        out(f"| {name} | {statistics.median(values):.0f} | {p95:.0f} | {max(values):.0f} |\n")
    out("\n| process | resident MiB, after the tasks |\n|---|---|\n")
    for name, mebibytes in memory.items():
        out(f"| {name} | {mebibytes:.0f} |\n")


if __name__ == "__main__":
    sys.exit(main())
