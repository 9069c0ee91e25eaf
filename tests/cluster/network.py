"""The cluster's network: one pair of virtual devices between the host and the cluster's namespace.

Inside, eth0 carries the node's address, 10.199.N.1; outside, kubeagentN carries 10.199.N.254, so that
processes of the host (pytest, kubectl, a hub or an agent under test) reach the API server and node ports
directly. N is the lowest number whose device name is free, which the kernel decides; so clusters run side
by side. Nothing inside reaches beyond that pair: there is no default route, no forwarding and no address
translation to the outside, which also makes image pulls fail at once and for real.
"""

import subprocess
from dataclasses import dataclass

from .errors import ClusterError

SERVICE_RANGE = "10.96.0.0/16"
POD_RANGE = "10.244.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
MOST_CLUSTERS = 100


@dataclass(frozen=True)
class Link:
    """The pair of devices of one cluster."""

    number: int

    @property
    def device(self) -> str:
        return f"kubeagent{self.number}"

    @property
    def host_address(self) -> str:
        return f"10.199.{self.number}.254"

    @property
    def node_address(self) -> str:
        return f"10.199.{self.number}.1"


def attach(pid: int) -> Link:
    """Connect the network namespace of the process with the host."""
    for number in range(MOST_CLUSTERS):
        link = Link(number)
        made = _ip(f"link add {link.device} type veth peer name eth0 netns {pid}")
        if made.returncode == 0:
            break
        if "File exists" not in made.stderr:
            raise ClusterError(f"cannot make the network device {link.device}: {made.stderr.strip()}")
    else:
        raise ClusterError(f"{MOST_CLUSTERS} clusters have a network device already (ip link show type veth)")
    _batch(f"addr add {link.host_address}/24 dev {link.device}", f"link set {link.device} up")
    _batch(
        "link set lo up",
        f"addr add {link.node_address}/24 dev eth0",
        "link set eth0 up",
        "route add unreachable default",
        # Addresses of Services are translated after routing: they need a route, though no one has them.
        f"route add {SERVICE_RANGE} dev eth0",
        inside=pid,
    )
    return link


def detach(link: Link) -> None:
    """Remove the pair of devices, if the end of the namespace has not done so already."""
    _ip(f"link delete {link.device}")


def _ip(arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["ip", *arguments.split()], capture_output=True, text=True)


def _batch(*commands: str, inside: int | None = None) -> None:
    entering = [] if inside is None else ["nsenter", f"--net=/proc/{inside}/ns/net"]
    done = subprocess.run([*entering, "ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"cannot set up the cluster's network: {' '.join(done.stderr.split())}")
