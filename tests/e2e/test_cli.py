"""The command line on a real cluster: the contract's JSON and exit codes, the tree, the plugin, the seeds' task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack
from tests.cluster import LocalCluster, Rung
from tests.e2e.tasks import Tasks

SPACE = "command-line"
SEED_TASK = Path(__file__).parents[2] / "examples" / "tasks" / "nginx-pod.yaml"


class CommandLine:
    """`kubeagent` as a person types it, with the administrator's kubeconfig."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.kubectl = kubectl

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kubeagent.cli.main", *arguments],
            capture_output=True,
            text=True,
            env={**self.kubectl.environment(), "COLUMNS": "100"},
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def kubeagent(stack: Stack, kubectl: Kubectl, cluster: Rung) -> Iterator[CommandLine]:
    """A namespace with a healthy Deployment, one whose image nobody has, and the seeds' Pod."""
    kubectl.run("create", "namespace", SPACE)
    image = "healthy.example/idle:1"
    if isinstance(cluster, LocalCluster):
        cluster.import_image(image)
    else:
        image = "busybox:1.36"
    in_space = ["-n", SPACE]
    kubectl.run("create", "deployment", "well", *in_space, f"--image={image}", "--", "sleep", "100000")
    kubectl.run("create", "deployment", "ill", *in_space, "--image=nobody.example/has-it:1")
    kubectl.run("run", "nginx-pod", *in_space, "--image=nobody.example/nginx:1")
    kubectl.run("wait", *in_space, "deployment/well", "--for=condition=Available", "--timeout=60s")
    stack.wait(lambda: kubectl.run("get", "pods", *in_space).count("ImagePull") >= 2, "two failing pulls", 60)
    yield CommandLine(kubectl)
    kubectl.run("delete", "namespace", SPACE, "--wait=false")


def test_a_healthy_target_is_exit_code_0(kubeagent: CommandLine) -> None:
    done = kubeagent("diagnose", "deployment/well", "-n", SPACE, "-o", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["outcome"], document["rootCauses"], document["alternatives"]) == ("NoFaultFound", [], [])


@pytest.mark.parametrize("word", ["deployment", "deploy", "deployments", "Deployment"])
def test_a_fault_is_exit_code_1_and_the_contracts_document(kubeagent: CommandLine, word: str) -> None:
    done = kubeagent("diagnose", f"{word}/ill", "-n", SPACE, "-o", "json")
    assert done.returncode == 1, done.stderr
    root = json.loads(done.stdout)["rootCauses"][0]
    assert root["category"] == "Image"
    assert root["object"]["kind"] == "Deployment"
    assert root["object"]["fieldPath"] == "spec.template.spec.containers[name=has-it].image"
    assert {"reason", "summary", "confidence", "source", "chain", "evidence"} <= root.keys()


def test_what_cannot_be_told_is_exit_code_2(kubeagent: CommandLine) -> None:
    done = kubeagent("diagnose", "deployment/wel", "-n", SPACE, "-o", "json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert (document["outcome"], document["reason"]) == ("Undetermined", "TargetNotFound")
    assert "well" in document["message"]


def test_a_namespace_is_swept_when_no_target_is_named(kubeagent: CommandLine) -> None:
    done = kubeagent("diagnose", "-n", SPACE, "-o", "yaml")
    assert done.returncode == 1, done.stderr
    assert "name: ill" in done.stdout
    assert "name: well" not in done.stdout


def test_the_text_is_a_tree_that_fits_the_terminal(kubeagent: CommandLine) -> None:
    text = kubeagent("diagnose", "deploy/ill", "-n", SPACE).stdout
    assert "Symptom" in text
    assert "└── " in text
    assert "Evidence" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_it_is_a_kubectl_plugin(kubectl: Kubectl) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [kubectl.program, "kubeagent", "version"],
        capture_output=True,
        text=True,
        env={**kubectl.environment(), "PATH": path},
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("kubeagent "), done.stderr


def test_the_seeds_own_task_applies_and_runs_as_it_is(kubeagent: CommandLine, stack: Stack, kubectl: Kubectl) -> None:
    kubectl.run("apply", "-n", SPACE, "-f", str(SEED_TASK))
    tasks = Tasks(stack, kubectl, SPACE)
    status = tasks.ended("nginx-pod")
    assert status["outcome"] == "RootCauseFound"
    assert status["rootCause"]["category"] == "Image"
    assert (status["phase"], status["approval"]["state"]) == ("Succeeded", "NotRequired")
    assert "remediator" in tasks.condition("nginx-pod", "AgentsAvailable")["message"]
    row = kubectl.run("get", "diagnosistasks", "nginx-pod", "-n", SPACE)
    assert "Pod/nginx-pod" in row
    assert status["rootCause"]["summary"] in row
    shown = kubeagent("show", "nginx-pod", "-n", SPACE)
    assert shown.returncode == 1
    assert "nobody.example/nginx:1" in shown.stdout
