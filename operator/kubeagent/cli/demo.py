"""`kubeagent demo`: a real fault on a real cluster, diagnosed by hub and agent over NATS, every step visible.

It uses the current context, whatever that is; `make demo` brings a throw-away cluster up first. What it applied it
removes again, unless told to keep it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

import typer
from rich.console import Console
from rich.syntax import Syntax

from kubeagent.cli import show
from kubeagent.cli.cluster import accept
from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack, uninstall
from kubeagent.errors import ClusterError, ConfigError

NAMESPACE = "shop"
TASK = "checkout-down"
_READY_SECONDS = 120
_BREAK = ["patch", "configmap", "checkout-env", "--type=json", "-p", '[{"op":"remove","path":"/data/DB_HOST"}]']
_RESTART = ["rollout", "restart", "deployment/checkout"]


def run(context: str | None, *, yes: bool, keep: bool) -> int:
    """Exit code 0 if the task ended with the true root cause."""
    console = Console(highlight=False)
    began = time.monotonic()
    kubectl = Kubectl(context)
    _confirm(kubectl, yes)
    steps = _Steps(console)
    try:
        with Stack(kubectl, progress=steps.detail) as stack:
            steps.title("Hub and agent join over NATS")
            _join(stack, steps)
            _story(stack.kubectl, steps)
        steps.title(f"Done in {time.monotonic() - began:.0f} s; what was applied is removed again")
    finally:
        if not keep:
            with _quietly(console):
                kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
                uninstall(kubectl)
    return 0


def _confirm(kubectl: Kubectl, yes: bool) -> None:
    context = kubectl.run("config", "current-context").strip()
    if not yes and not typer.confirm(
        f"This applies KubeAgent's kinds and roles and a namespace {NAMESPACE!r} to {context}. Go on?"
    ):
        raise ConfigError("nothing was done")
    if kubectl.run("get", "namespace", NAMESPACE, "--ignore-not-found"):
        raise ConfigError(f"namespace {NAMESPACE!r} exists in {context}: the demo would overwrite what is in it")


def _join(stack: Stack, steps: _Steps) -> None:
    stack.wait_for_registration()
    steps.show(stack.kubectl, "get", "managedclusters")
    steps.detail(accept(stack.cluster_id, stack.kubectl.context))
    stack.wait_until_available()
    steps.show(stack.kubectl, "get", "managedclusters")


def _story(kubectl: Kubectl, steps: _Steps) -> None:
    steps.title("A small shop is applied and becomes healthy")
    steps.show(kubectl, "apply", "-f", str(example("shop.yaml")))
    kubectl.run(
        "wait", "-n", NAMESPACE, "deployment", "--all", "--for=condition=Available", f"--timeout={_READY_SECONDS}s"
    )
    steps.show(kubectl, "get", "deployments", "-n", NAMESPACE)

    steps.title("A change breaks it: the ConfigMap loses a key, and the pods are restarted")
    steps.show(kubectl, "-n", NAMESPACE, *_BREAK)
    steps.show(kubectl, "-n", NAMESPACE, *_RESTART)
    _wait(lambda: "CreateContainerConfigError" in kubectl.run("get", "pods", "-n", NAMESPACE), "the fault to show", 60)
    steps.show(kubectl, "get", "pods", "-n", NAMESPACE)

    steps.title("Somebody on call asks why")
    steps.file(example("diagnosistask.yaml"))
    began = time.monotonic()
    steps.show(kubectl, "apply", "-f", str(example("diagnosistask.yaml")))
    _wait(lambda: bool(_outcome(kubectl)), "a verdict", 60)
    steps.detail(f"verdict {time.monotonic() - began:.1f} s after apply was typed")
    steps.show(kubectl, "get", "diagnosistasks", "-n", NAMESPACE)
    steps.title("From the symptom to the root")
    if show.run(TASK, NAMESPACE, kubectl.context, kubectl.kubeconfig) != 1:
        raise ClusterError("the demo's fault was not found; the verdict above says what was")


def _outcome(kubectl: Kubectl) -> str:
    return kubectl.run("get", "diagnosistask", TASK, "-n", NAMESPACE, "-o", "jsonpath={.status.outcome}")


def _wait(done: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)


def example(name: str) -> Path:
    """A file of examples/shop: beside the sources, or inside the installed package."""
    for folder in (Path(str(resources.files("kubeagent"))) / "_examples", Path(__file__).parents[3] / "examples"):
        if (folder / "shop" / name).is_file():
            return folder / "shop" / name
    raise ConfigError(f"examples/shop/{name} is missing from this installation")


class _Steps:
    """What a person sees: numbered titles, the commands as typed, and what they print."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0
        self.title("NATS, hub and agent start, each with its own identity")

    def title(self, text: str) -> None:
        self._number += 1
        self._console.print(f"\n[bold]{self._number}. {text}[/bold]")

    def detail(self, text: str) -> None:
        self._console.print(f"   {text}", style="dim", soft_wrap=True)

    def show(self, kubectl: Kubectl, *arguments: str) -> None:
        typed = " ".join(f"'{each}'" if " " in each or '"' in each else each for each in arguments)
        self._console.print(f"   [cyan]$ kubectl {_short(typed)}[/cyan]", soft_wrap=True)
        for line in kubectl.run(*arguments).splitlines():
            self._console.print(f"   {line}", soft_wrap=True, markup=False)

    def file(self, path: Path) -> None:
        self._console.print(Syntax(path.read_text(), "yaml", background_color="default", padding=(0, 3)))


def _short(typed: str) -> str:
    """The example's path as a person in the checkout would type it."""
    root = str(example("shop.yaml").parents[2])
    return typed.replace(f"{root}/", "")


@contextmanager
def _quietly(console: Console) -> Iterator[None]:
    """Cleaning up must not hide why the demo failed."""
    try:
        with suppress(KeyboardInterrupt):
            yield
    except ClusterError as exc:
        console.print(f"could not clean up everything: {exc.message}", style="yellow")
