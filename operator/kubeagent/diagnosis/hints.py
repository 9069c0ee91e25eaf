"""What a text says about another party: "dial tcp 10.96.3.4:80: connect: connection refused" leads to a
Service.

Applications name whom they could not reach in their own words. A line counts only if it holds a phrase of
failure; then every address-like token in it is a candidate, and only those that name a Service which is known
(or was asked for and does not exist) become edges. So the parsing may be generous: a wrong candidate names
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

_MAX_LINE = 2000
_MAX_LINES = 400
_MAX_ADDRESSES = 8


class Failure(StrEnum):
    """How the other party could not be reached."""

    REFUSED = "refused"
    UNRESOLVED = "unresolved"
    TIMEOUT = "timeout"
    FAILED = "failed"


class Address(NamedTuple):
    """A host as it was written (a name or an IP address) and the port, 0 if none."""

    host: str
    port: int = 0


class Complaint(NamedTuple):
    """A line that says somebody could not be reached, and whom it names."""

    line: str
    failure: Failure
    addresses: tuple[Address, ...]
    words: tuple[str, ...]


_FAILURES: Final = (
    (
        Failure.UNRESOLVED,
        re.compile(
            r"no such host|could not resolve|couldn't resolve|name or service not known|bad address|NXDOMAIN"
            r"|ENOTFOUND|EAI_AGAIN|temporary failure in name resolution|unknown ?host|name resolution"
            r"|nodename nor servname|server misbehaving|could not translate host name|unable to resolve",
            re.I,
        ),
    ),
    (
        Failure.REFUSED,
        re.compile(
            r"connection refused|ECONNREFUSED|(?:could not|couldn't|can't|cannot|unable to|failed to) connect"
            r"|connection reset|ECONNRESET|no route to host|EHOSTUNREACH|unreachable|errno 111"
            r"|actively refused|connection to \S+ failed|refused",
            re.I,
        ),
    ),
    (Failure.TIMEOUT, re.compile(r"i/o timeout|timed? ?out|ETIMEDOUT|deadline exceeded|\btimeout\b", re.I)),
    # Says nothing of how; counts only with an address in the line, and if that Service is out of order.
    (
        Failure.FAILED,
        re.compile(r"\b(?:error|fail(?:ed|ure|ing)?|fatal|unavailable|cannot|could not|50[234])\b", re.I),
    ),
)

_NAME = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_IP = r"\d{1,3}(?:\.\d{1,3}){3}"
_URL = re.compile(rf"\b[a-z][a-z0-9+.-]*://(?:[^\s/@'\"]*@)?({_NAME})(?::(\d{{1,5}}))?", re.I)
_HOST_PORT = re.compile(rf"(?<![\w./:-])({_NAME}):(\d{{1,5}})(?!\d)", re.I)
_PAREN_IP = re.compile(rf"(?<![\d.])({_IP})(?::(\d{{1,5}}))?")
_LOOKUP = re.compile(
    rf"(?:lookup|host(?:name)?|address|ENOTFOUND|EAI_AGAIN|UnknownHostException:?)[\s='\":]+({_NAME})", re.I
)
_HOST_AND_PORT_WORDS = re.compile(
    rf"(?:\bhost|\bat|\bto)[\s=:]*['\"(]?({_NAME})['\")]?(?=[^\n]{{0,40}}?\bport[\s=:]*(\d{{1,5}}))", re.I
)
_SLASHED = re.compile(rf"\b({_NAME})/{_IP}:(\d{{1,5}})", re.I)
_WORD = re.compile(r"(?<![\w.-])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?![\w-])", re.I)
_DOTTED_SERVICE = re.compile(rf"(?<![\w.-])({_NAME}\.svc(?:\.[a-z0-9.-]*[a-z0-9])?)(?![\w-])", re.I)
_PUBLIC: Final = frozenset({"com", "org", "net", "io"})
_NOT_HOSTS: Final = frozenset(
    {
        "on",
        "of",
        "the",
        "tcp",
        "udp",
        "connect",
        "server",
        "host",
        "remote",
        "port",
        "localhost",
        "127.0.0.1",
        "0.0.0.0",
    }
)


@lru_cache(maxsize=64)
def complaints(text: str) -> tuple[Complaint, ...]:
    """The lines of a text that say somebody could not be reached."""
    return tuple(_complaints(text.splitlines()[-_MAX_LINES:]))


def _complaints(lines: Iterable[str]) -> Iterator[Complaint]:
    for line in lines:
        short = line[:_MAX_LINE]
        failure = next((failure for failure, pattern in _FAILURES if pattern.search(short)), None)
        if failure:
            named = addresses(short)
            vague = failure is Failure.FAILED
            if named or not vague:
                words = () if vague else tuple(dict.fromkeys(_WORD.findall(short.lower())))
                yield Complaint(line, failure, named, words)


@lru_cache(maxsize=1024)
def addresses(line: str) -> tuple[Address, ...]:
    """Whatever in a line looks like the address of somebody, those with a port first."""
    found: dict[str, int] = {}
    for pattern in (_URL, _SLASHED, _HOST_AND_PORT_WORDS, _HOST_PORT, _PAREN_IP, _LOOKUP, _DOTTED_SERVICE):
        for match in pattern.finditer(line):
            host = match.group(1).lower().rstrip(".")
            port = int(match.group(2) or 0) if pattern.groups > 1 else 0
            if host not in _NOT_HOSTS and not host.isdigit():
                found[host] = found.get(host) or (port if port < 65536 else 0)
    return tuple(Address(host, port) for host, port in list(found.items())[:_MAX_ADDRESSES])


def service_of(host: str, namespace: str) -> tuple[str, str] | None:
    """Namespace and name of the Service that a pod in `namespace` means by `host`; None for an IP or a public
    name.

    The search list of a pod tries name, name.ns, name.ns.svc and the full name, in any cluster domain.
    """
    parts = host.lower().rstrip(".").split(".")
    if is_ip(host) or not all(parts):
        return None
    if len(parts) == 1:
        return namespace, parts[0]
    if len(parts) == 2:
        return None if parts[1] in _PUBLIC else (parts[1], parts[0])
    if parts[2] == "svc":
        return parts[1], parts[0]
    if len(parts) > 3 and parts[3] == "svc":  # a pod of a headless service: pod.service.ns.svc
        return parts[2], parts[1]
    return None


def is_ip(host: str) -> bool:
    """Whether this is an IPv4 address."""
    return re.fullmatch(_IP, host) is not None
