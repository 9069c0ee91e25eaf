"""Every error that KubeAgent raises on purpose, in one tree with codes that never change their meaning.

    KubeAgentError
    ├── ConfigError                  KA-CONFIG            a setting is wrong; nothing was started
    ├── RefusedError                 KA-REFUSED           we may, by our own rules, not do this
    │   ├── CommandDenied            KA-COMMAND-DENIED    an edge layer refused a command
    │   ├── ScopeGuardMissing        KA-SCOPE-GUARD       the admission policy that limits tasks is not in force
    │   └── IdentityConflict         KA-IDENTITY          two clusters claim one name
    ├── WireError                    KA-WIRE              something on the bus is not what the protocol says
    │   ├── BadMessage               KA-BAD-MESSAGE       garbage, truncated, or from another cluster
    │   └── MessageTooLarge          KA-TOO-LARGE         more than the bus carries, even compressed
    ├── BusError                     KA-BUS               NATS did not do what was asked
    │   ├── BusUnavailable           KA-BUS-DOWN          no connection; worth another try
    │   └── QueueFull                KA-QUEUE-FULL        a cluster has too many commands waiting
    ├── ClusterError                 KA-CLUSTER           the Kubernetes API did not do what was asked
    │   ├── ClusterUnavailable       KA-CLUSTER-DOWN      no connection, 429 or 5xx; worth another try
    │   ├── Unauthorized             KA-UNAUTHORIZED      401: the credentials are not accepted
    │   ├── Forbidden                KA-FORBIDDEN         403: RBAC or admission says no
    │   ├── NotFound                 KA-NOT-FOUND         404: the object or its kind does not exist
    │   ├── Conflict                 KA-CONFLICT          409: somebody else wrote first
    │   └── Invalid                  KA-INVALID           400 or 422: the request itself is wrong
    └── UnknownKind                  KA-UNKNOWN-KIND      neither built in nor served by this cluster

Adapters translate what a library raises and chain it (`raise Forbidden(...) from exc`); conditions, the CLI
and the API show `code` and the message, never a traceback. docs/reference/errors.md is generated from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class KubeAgentError(Exception):
    """The root: `code` is stable, `retryable` says whether time may cure it, `advice` what a person can do."""

    code: ClassVar[str] = "KA-ERROR"
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = "Report this with the hub's log; it should have had a more precise code."

    @property
    def message(self) -> str:
        """The one line a person reads."""
        return str(self.args[0]) if self.args else self.__class__.__name__


class ConfigError(KubeAgentError):
    """A setting is wrong; nothing was started."""

    code = "KA-CONFIG"
    advice = "Correct the setting that the message names, in the file or the environment, and start again."


class RefusedError(KubeAgentError):
    """We may, by our own rules, not do this."""

    code = "KA-REFUSED"
    advice = "Read the message: it names the rule and what it would take to satisfy it."


class CommandDenied(RefusedError):
    """A layer of the edge's executor refused a command; `layer` names it."""

    code = "KA-COMMAND-DENIED"
    advice = "Send a command of the documented grammar; the layer in the message says which check failed."

    def __init__(self, layer: str, message: str) -> None:
        super().__init__(message)
        self.layer = layer


class ScopeGuardMissing(RefusedError):
    """The admission policy that limits where a task may look is missing, altered or not bound."""

    code = "KA-SCOPE-GUARD"
    retryable = True
    advice = "Apply the policies of the chart (or `make install`); the hub goes on by itself."


class IdentityConflict(RefusedError):
    """Two clusters claim one name."""

    code = "KA-IDENTITY"
    advice = "Give one of the agents another CLUSTER_ID, or correct spec.clusterUID of the ManagedCluster."


class WireError(KubeAgentError):
    """Something on the bus is not what the protocol says."""

    code = "KA-WIRE"
    advice = "Compare the versions of hub and agent; a foreign publisher on the subject is the other cause."


class BadMessage(WireError):
    """Garbage, truncated, or a body that disagrees with the subject it came on."""

    code = "KA-BAD-MESSAGE"
    advice = "Look at the sender named in the message; the message itself was dropped and counted."


class MessageTooLarge(WireError):
    """More than the bus carries, even compressed."""

    code = "KA-TOO-LARGE"
    advice = "Narrow the target; the bounds of evidence gathering are in docs/architecture.md."


class BusError(KubeAgentError):
    """NATS did not do what was asked."""

    code = "KA-BUS"
    retryable = True
    advice = "Check that NATS is up, that JetStream is enabled and that the credentials allow the subject."


class BusUnavailable(BusError):
    """No connection to NATS; the caller may try again."""

    code = "KA-BUS-DOWN"
    advice = "Start NATS or correct its URL; hub and agents connect again by themselves."


class QueueFull(BusError):
    """A cluster has as many commands waiting as its queue holds."""

    code = "KA-QUEUE-FULL"
    advice = "The agent of that cluster does not keep up or is away; commands expire by themselves."


class ClusterError(KubeAgentError):
    """The Kubernetes API did not do what was asked."""

    code = "KA-CLUSTER"
    advice = "Try the same with kubectl and the same identity."


class ClusterUnavailable(ClusterError):
    """No connection, 429 or 5xx: worth another try."""

    code = "KA-CLUSTER-DOWN"
    retryable = True
    advice = "Check that the API server answers (`kubectl get --raw /readyz`)."


class Unauthorized(ClusterError):
    """401: the credentials are not accepted."""

    code = "KA-UNAUTHORIZED"
    advice = "Log in again, or renew the token that the process runs with."


class Forbidden(ClusterError):
    """403: RBAC or an admission policy says no."""

    code = "KA-FORBIDDEN"
    advice = "`kubectl auth can-i` with the identity in the message tells which rule is missing."


class NotFound(ClusterError):
    """404: the object, or its kind, does not exist."""

    code = "KA-NOT-FOUND"
    advice = "Check the name, the namespace and the cluster."


class Conflict(ClusterError):
    """409: somebody else wrote first."""

    code = "KA-CONFLICT"
    retryable = True
    advice = "Read the object again and decide anew; KubeAgent does so by itself."


class Invalid(ClusterError):
    """400 or 422: the request itself is wrong."""

    code = "KA-INVALID"
    advice = "The API server's message names the field."


class UnknownKind(KubeAgentError):
    """The kind is neither built in nor served by this cluster."""

    code = "KA-UNKNOWN-KIND"
    advice = "Check the spelling of the kind (`kubectl api-resources`) or set target.apiVersion."


def tree(root: type[KubeAgentError] = KubeAgentError, depth: int = 0) -> Iterator[tuple[int, type[KubeAgentError]]]:
    """Every error class of this module with its depth, parents first: the source of docs/reference/errors.md."""
    yield depth, root
    for child in root.__subclasses__():
        if child.__module__ == __name__:
            yield from tree(child, depth + 1)
