"""`kubeagent run`: the whole of KubeAgent on a laptop, against the current cluster, until Ctrl-C."""

from __future__ import annotations

import signal
import threading

import typer

from kubeagent.cli.cluster import accept
from kubeagent.cli.kubectl import Kubectl
from kubeagent.cli.stack import Stack

_LOOK_SECONDS = 1.0


def run(context: str | None, nats_url: str | None) -> int:
    """Exit code 0 after Ctrl-C or SIGTERM, 1 if a process ended by itself."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Stack(Kubectl(context), nats_url=nats_url, progress=lambda text: typer.echo(f"  {text}")) as stack:
        stack.wait_for_registration()
        typer.echo(f"  {accept(stack.cluster_id, context)}")
        stack.wait_until_available()
        typer.echo("Ready: kubectl apply a DiagnosisTask (see examples/tasks). Ctrl-C ends NATS, hub and agent.")
        return _watch(stack, stop)


def _watch(stack: Stack, stop: threading.Event) -> int:
    while not stop.wait(_LOOK_SECONDS):
        for process in stack.processes:
            if not process.alive:
                typer.echo(f"{process.name} ended:\n{process.last_lines()}", err=True)
                return 1
    return 0
