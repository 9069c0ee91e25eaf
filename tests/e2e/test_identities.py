"""What each process really asked of the API server, by the server's own audit log: its own identity, nothing more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack
from tests.cluster import Rung
from tests.e2e.tasks import tasks_in

SPACE = "identities"
HUB = "system:serviceaccount:kubeagent-system:kubeagent-operator"
AGENT = "system:serviceaccount:kubeagent-system:kubeagent-diagnostician"
READS = {"get", "list", "watch"}
HUB_WRITES = {
    ("create", "managedclusters", ""),
    ("patch", "managedclusters", "status"),
    ("patch", "runbooks", "status"),
    ("patch", "diagnosistasks", "status"),
    ("delete", "diagnosistasks", ""),
}

Entry = dict[str, Any]


@pytest.fixture(scope="module")
def audit(cluster: Rung, stack: Stack, kubectl: Kubectl) -> Iterator[list[Entry]]:
    """The audit log of the session so far, and of one more task."""
    if cluster.audit_log is None:
        pytest.skip(f"{cluster.rung}: its audit log is not read")
    with tasks_in(SPACE, stack, kubectl) as tasks:
        tasks.create("audited")
        tasks.ended("audited")
        yield [json.loads(line) for line in Path(cluster.audit_log).read_text().splitlines() if line.endswith("}")]


def of(audit: list[Entry], user: str) -> list[Entry]:
    return [entry for entry in audit if entry["user"]["username"] == user and "objectRef" in entry]


def asked(entry: Entry) -> tuple[str, str, str]:
    target = entry["objectRef"]
    return entry["verb"], target.get("resource", ""), target.get("subresource", "")


def test_the_agent_only_reads_and_never_a_secret(audit: list[Entry]) -> None:
    entries = of(audit, AGENT)
    assert entries, "the audit log knows the agent"
    assert {entry["verb"] for entry in entries} <= READS
    assert not [entry for entry in entries if entry["objectRef"].get("resource") == "secrets"]


def test_the_hub_writes_its_own_kinds_and_nothing_else(audit: list[Entry]) -> None:
    entries = of(audit, HUB)
    assert entries, "the audit log knows the hub"
    writes = {asked(entry) for entry in entries if entry["verb"] not in READS}
    assert ("patch", "diagnosistasks", "status") in writes
    assert writes <= HUB_WRITES
    groups = {entry["objectRef"].get("apiGroup") for entry in entries if entry["verb"] not in READS}
    assert groups == {"kubeagent.io"}


def test_the_hub_reads_no_workload_of_any_namespace(audit: list[Entry]) -> None:
    read = {entry["objectRef"].get("resource") for entry in of(audit, HUB)}
    assert not read & {"pods", "deployments", "configmaps", "secrets", "events", "nodes"}


def test_nothing_that_they_need_was_refused(audit: list[Entry]) -> None:
    for user in (HUB, AGENT):
        refused = [asked(entry) for entry in of(audit, user) if entry.get("responseStatus", {}).get("code") == 403]
        assert not refused, user


def test_each_process_holds_one_token_and_shares_no_file(stack: Stack) -> None:
    """What a process was started with, as the kernel knows it: one kubeconfig with one user, a folder of its own."""
    folders = set()
    for process, account in ((stack.hub, "kubeagent-operator"), (stack.agent, "kubeagent-diagnostician")):
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
        (kubeconfig,) = [Path(each.partition("=")[2]) for each in environment if each.startswith("KUBECONFIG=")]
        (user,) = yaml.safe_load(kubeconfig.read_text())["users"]
        assert (user["name"], list(user["user"])) == (account, ["token"])
        folders.add(kubeconfig.parent)
        assert Path(f"/proc/{process.pid}/cwd").resolve() == kubeconfig.parent
    assert len(folders) == 2
