"""The entry point of every process and of every command; each command imports only what it needs.

No traceback reaches a user: an error of our own prints its message, what to do, and its code; exit code 2. An error
that we did not foresee prints one line and where to report it, and its traceback with KUBEAGENT_DEBUG=1.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kubeagent import __version__
from kubeagent.errors import KubeAgentError

EXIT_FAILED = 2

app = typer.Typer(
    name="kubeagent",
    help="Says why a Kubernetes workload is broken, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cluster_app = typer.Typer(no_args_is_help=True, help="Managed clusters: accept the one that an agent registered.")
app.add_typer(cluster_app, name="cluster")


class Output(StrEnum):
    """How `diagnose` answers."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


Context = Annotated[str | None, typer.Option("--context", help="The kubeconfig context to use.")]
Namespace = Annotated[str | None, typer.Option("-n", "--namespace", help="The namespace of the target.")]
NatsUrl = Annotated[str | None, typer.Option("--nats-url", help="Use this NATS instead of starting one.")]


@app.command()
def diagnose(
    target: Annotated[str | None, typer.Argument(metavar="[KIND/NAME]", help="Such as deployment/checkout.")] = None,
    namespace: Namespace = None,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="Look at the whole cluster.")] = False,
    context: Context = None,
    dump: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Read a dump instead of a cluster.")
    ] = None,
    output: Annotated[Output, typer.Option("-o", "--output")] = Output.TEXT,
) -> None:
    """Say why something is broken, with your own kubeconfig: no operator, no NATS.

    Exit code 0: no fault, 1: a fault was found, 2: could not tell.
    """
    from kubeagent.cli.diagnose import Question, run

    question = Question(target, namespace, all_namespaces, context, dump)
    raise typer.Exit(run(question, output.value))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="TASK", help="The name of a DiagnosisTask.")],
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Show a DiagnosisTask's verdict as a tree from the symptom to the root."""
    from kubeagent.cli.show import run

    raise typer.Exit(run(name, namespace, context))


@app.command()
def hub() -> None:
    """Run the operator (settings: KUBEAGENT_* in the environment)."""
    from kubeagent.hub.app import run
    from kubeagent.hub.settings import HubSettings

    raise typer.Exit(run(HubSettings.load()))


@app.command()
def agent(
    config: Annotated[Path | None, typer.Option("--config", help="A YAML file; the environment overrides it.")] = None,
) -> None:
    """Run the edge agent of one cluster."""
    from kubeagent.edge.agent import run
    from kubeagent.edge.settings import AgentSettings

    raise typer.Exit(run(AgentSettings.load(config)))


@app.command("run")
def run_stack(context: Context = None, nats_url: NatsUrl = None) -> None:
    """Run NATS, hub and agent on this machine against the current cluster, until Ctrl-C."""
    from kubeagent.cli.run import run

    raise typer.Exit(run(context, nats_url))


@app.command()
def demo(
    context: Context = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before applying things to the cluster.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the shop and the kinds in the cluster.")] = False,
) -> None:
    """Break a small shop in the current cluster and watch the fault being diagnosed."""
    from kubeagent.cli.demo import run

    raise typer.Exit(run(context, yes=yes, keep=keep))


@app.command()
def install(context: Context = None) -> None:
    """Apply the kinds, policies and roles to the current cluster."""
    from kubeagent.cli.kubectl import Kubectl
    from kubeagent.cli.stack import install as apply_all

    apply_all(Kubectl(context))
    typer.echo("kinds, policies, accounts and roles of kubeagent.io/v1 are in place")


@app.command()
def uninstall(context: Context = None) -> None:
    """Remove the kinds with every object of theirs, the policies and the roles."""
    from kubeagent.cli.kubectl import Kubectl
    from kubeagent.cli.stack import uninstall as remove_all

    remove_all(Kubectl(context))
    typer.echo("kubeagent.io/v1 is gone from the cluster")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"kubeagent {__version__}")


@cluster_app.command("accept")
def cluster_accept(name: Annotated[str, typer.Argument(metavar="NAME")], context: Context = None) -> None:
    """Accept a cluster: from now on the hub sends it commands."""
    from kubeagent.cli.cluster import accept

    typer.echo(accept(name, context))


def main() -> None:
    """Run a command; errors become one message and exit code 2."""
    try:
        app()
    except KubeAgentError as exc:
        _fail(f"{exc.message}\n{exc.advice} [{exc.code}]")
    except KeyboardInterrupt:
        _fail("interrupted")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except Exception as exc:
        if os.environ.get("KUBEAGENT_DEBUG"):
            raise
        _fail(f"unexpected {type(exc).__name__}: {exc}\nThis is a bug: run it again with KUBEAGENT_DEBUG=1 and report.")


def _fail(message: str) -> None:
    sys.stderr.write(f"kubeagent: {message}\n")
    sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
