"""Commands parsed into operations: the seeds' kubectl syntax by grammar, or an evidence request. Default deny.

A command never reaches a shell or a kubectl process, so nothing is filtered or escaped: what the grammar below does
not produce does not exist. Each refusal names the layer that refused. The layers are those of the seeds: schema,
read-only, whitelist, arguments, patterns (an alarm, since the grammar has refused it anyway) and limits.

What is allowed now is get, logs and events; describe, top and rollout follow with the executor's own issue.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal, NamedTuple

from kubeagent.errors import CommandDenied
from kubeagent.protocol.durations import parse_duration
from kubeagent.protocol.kinds import Kind, by_kind, by_word, is_secret
from kubeagent.protocol.messages import Command, EvidenceRequest
from kubeagent.protocol.reads import LIST_LIMIT, LOG_LIMIT_BYTES, LOG_TAIL_LINES, Get, List, Log, Read
from kubeagent.resources.base import LABEL_PATTERN
from kubeagent.resources.refs import ObjectKey

SCHEMA: Final = "L0-schema"
READ_ONLY: Final = "L1-readonly"
WHITELIST: Final = "L2-whitelist"
ARGUMENTS: Final = "L3-args"
PATTERNS: Final = "L4-patterns"
LIMITS: Final = "L5-limits"

MAX_TIMEOUT: Final = timedelta(minutes=2)
MAX_ARGS: Final = 64
MAX_ARG_BYTES: Final = 4096
MAX_TAIL_LINES: Final = 5000
MAX_LOG_BYTES: Final = 1024 * 1024
MAX_NAMES: Final = 20

Output = Literal["json", "name", "text"]

_TYPES: Final = ("diagnostic", "investigate")
_WRITES: Final = (
    *("delete", "apply", "create", "edit", "patch", "replace", "scale", "set", "label", "annotate", "taint", "auth"),
    *("cordon", "uncordon", "drain", "rollout", "run", "expose", "autoscale", "certificate"),
)
_ALL: Final = (
    "pods",
    "services",
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "jobs",
    "cronjobs",
    "hpa",
)


class GatherEvidence(NamedTuple):
    """Our own request: everything about one target in one round trip."""

    request: EvidenceRequest
    timeout: timedelta


class PerformReads(NamedTuple):
    """What a kubectl line comes to. `missing_ok` is --ignore-not-found."""

    reads: tuple[Read, ...]
    output: Output
    missing_ok: bool
    timeout: timedelta


Operation = GatherEvidence | PerformReads


def is_command_id(text: str) -> bool:
    """Whether `text` can be the id of a command."""
    return _ID.fullmatch(text) is not None


def parse(command: Command) -> Operation:
    """The operation that a command asks for. Raises CommandDenied and nothing else."""
    _check_envelope(command)
    timeout = _timeout(command.timeout)
    if command.evidence is not None:
        return _evidence(command, command.evidence, timeout)
    if command.action in _WRITES:
        raise CommandDenied(READ_ONLY, f"{command.action} is not a read; investigations only read")
    if command.tool != "kubectl" or command.action not in _ACTIONS:
        known = ", ".join(_ACTIONS)
        what = f"{_shown(command.tool)} {_shown(command.action)}"
        raise CommandDenied(WHITELIST, f"{what} is not an allowed command; kubectl {known} are")
    operation = _ACTIONS[command.action](_split(command.args, _FLAGS[command.action]), timeout)
    _check_namespaces(operation.reads, command.namespaces)
    return operation


def _check_namespaces(reads: tuple[Read, ...], allowed: list[str] | None) -> None:
    """What has no namespace may always be read, as in gathering."""
    for read in reads if allowed is not None else ():
        match read:
            case Get(key=key):
                kind, api_version, namespace = key.kind, key.api_version, key.namespace
            case List():
                kind, api_version, namespace = read.kind, read.api_version, read.namespace
            case Log():
                kind, api_version, namespace = "Pod", "v1", read.namespace
        row = by_kind(kind, api_version)
        if (row is None or row.namespaced) and namespace not in (allowed or ()):
            raise CommandDenied(WHITELIST, f"namespace {_shown(namespace or '(all)')} is outside the allowed ones")


# The envelope

_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}", re.ASCII)


def _check_envelope(command: Command) -> None:
    if not is_command_id(command.id):
        raise CommandDenied(SCHEMA, f"{_shown(command.id)} is not a command id")
    if command.type == "remediate":
        raise CommandDenied(READ_ONLY, "this agent only reads; remediation has a process of its own")
    if command.type not in _TYPES:
        raise CommandDenied(SCHEMA, f"{_shown(command.type)} is not a command type")
    if len(command.args) > MAX_ARGS or any(len(arg) > MAX_ARG_BYTES for arg in command.args):
        raise CommandDenied(LIMITS, f"more than {MAX_ARGS} arguments, or one of more than {MAX_ARG_BYTES} bytes")


def _timeout(text: str | int) -> timedelta:
    try:
        timeout = parse_duration(text)
    except (ValueError, OverflowError) as exc:
        raise CommandDenied(LIMITS, f"timeout: {str(exc)[:200]}") from exc
    if not timedelta(0) < timeout <= MAX_TIMEOUT:
        raise CommandDenied(LIMITS, f"timeout {_shown(str(text))} is not above 0 and at most {MAX_TIMEOUT.seconds} s")
    return timeout


def _evidence(command: Command, request: EvidenceRequest, timeout: timedelta) -> GatherEvidence:
    if command.action not in ("", "evidence") or command.args:
        raise CommandDenied(SCHEMA, "an evidence request has no kubectl action or arguments")
    target = request.target
    checks = (
        _KIND.fullmatch(target.kind) and not is_secret(target.kind),
        _API_VERSION.fullmatch(target.api_version),
        not target.namespace or _LABEL.fullmatch(target.namespace),
        not target.name or _RBAC_NAME.fullmatch(target.name),
        all(_LABEL.fullmatch(each) for each in request.namespaces or ()),
    )
    if not all(checks):
        raise CommandDenied(ARGUMENTS, f"{_shown(str(target))} is not a target that may be read")
    if not 0 < request.timeout_seconds <= MAX_TIMEOUT.total_seconds():
        raise CommandDenied(LIMITS, f"timeoutSeconds {request.timeout_seconds} is out of bounds")
    return GatherEvidence(request, min(timeout, timedelta(seconds=request.timeout_seconds)))


# The words of a line

_LABEL: Final = re.compile(LABEL_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_RBAC_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9.:_]{0,251}[A-Za-z0-9])?", re.ASCII)
_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}", re.ASCII)
_API_VERSION: Final = re.compile(r"(?:[a-z0-9][-a-z0-9.]{0,252}/)?v[0-9][a-z0-9]{0,15}|", re.ASCII)
_SORT: Final = re.compile(r"\{?\.?[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*\}?", re.ASCII)
_QUALIFIED = r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_REQUIREMENT = (
    rf"(?:!?{_QUALIFIED}|{_QUALIFIED} ?(?:=|==|!=) ?{_LABEL_VALUE}|"
    rf"{_QUALIFIED} (?:in|notin) \({_LABEL_VALUE}(?:, ?{_LABEL_VALUE})*\))"
)
_SELECTOR: Final = re.compile(rf"{_REQUIREMENT}(?:, ?{_REQUIREMENT})*", re.ASCII)
_FIELD = r"[A-Za-z][A-Za-z0-9.]{0,100}(?:=|==|!=)[-A-Za-z0-9._/:]{0,253}"
_FIELDS: Final = re.compile(rf"{_FIELD}(?:,{_FIELD})*", re.ASCII)
_SHELL: Final = re.compile(r"[;&|`$<>(){}*~%\\\r\n]|[^\x20-\x7e]")


class Flag(NamedTuple):
    """One flag of the table: its spellings, and the check of its value; None for a flag that has none."""

    spellings: tuple[str, ...]
    check: Callable[[str], bool] | None = None


class Line(NamedTuple):
    """A line taken apart: words in order, and flags by their first spelling."""

    words: tuple[str, ...]
    flags: dict[str, str]

    def has(self, flag: str) -> bool:
        """Whether it was given."""
        return flag in self.flags


def _in(*allowed: str) -> Callable[[str], bool]:
    return lambda value: value in allowed


def _matches(pattern: re.Pattern[str], longest: int = 1024) -> Callable[[str], bool]:
    return lambda value: len(value) <= longest and pattern.fullmatch(value) is not None


def _number(most: int) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(r"[1-9][0-9]{0,8}", value, re.ASCII) is not None and int(value) <= most


_NAMESPACE: Final = Flag(("--namespace", "-n"), _matches(_LABEL))
_EVERYWHERE: Final = Flag(("--all-namespaces", "-A"))
_FLAGS: Final[dict[str, tuple[Flag, ...]]] = {
    "get": (
        _NAMESPACE,
        _EVERYWHERE,
        Flag(("--selector", "-l"), _matches(_SELECTOR)),
        Flag(("--field-selector",), _matches(_FIELDS)),
        Flag(("--output", "-o"), _in("wide", "json", "yaml", "name")),
        Flag(("--sort-by",), _matches(_SORT)),
        Flag(("--chunk-size",), _number(LIST_LIMIT)),
        Flag(("--show-labels",)),
        Flag(("--no-headers",)),
        Flag(("--ignore-not-found",)),
    ),
    "logs": (
        _NAMESPACE,
        Flag(("--container", "-c"), _matches(_LABEL)),
        Flag(("--previous", "-p")),
        Flag(("--tail",), _number(MAX_TAIL_LINES)),
        Flag(("--limit-bytes",), _number(MAX_LOG_BYTES)),
    ),
    "events": (
        _NAMESPACE,
        _EVERYWHERE,
        Flag(("--types",), _in("Warning", "Normal", "Normal,Warning", "Warning,Normal")),
        Flag(("--for",), _matches(re.compile(r"[a-z]{1,63}/[a-z0-9.-]{1,253}", re.ASCII))),
    ),
}


def _split(args: list[str], table: tuple[Flag, ...]) -> Line:
    by_spelling = {spelling: flag for flag in table for spelling in flag.spellings}
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = iter(args)
    for arg in rest:
        if not arg.startswith("-"):
            words.append(arg)
            continue
        spelling, equals, value = arg.partition("=")
        flag = by_spelling.get(spelling)
        if flag is None or flag.spellings[0] in flags:
            raise _refusal(arg, "is not an allowed flag here, or is given twice")
        if flag.check is None:
            if equals:
                raise _refusal(arg, "takes no value")
        else:
            value = value if equals else next(rest, "")
            if value.startswith("-") or not flag.check(value):
                raise _refusal(f"{spelling}={value}", "has a value that is not allowed")
        flags[flag.spellings[0]] = value
    return Line(tuple(words), flags)


# The actions


def _get(line: Line, timeout: timedelta) -> PerformReads:
    if not line.words:
        raise CommandDenied(ARGUMENTS, "get needs a kind")
    head, *names = line.words
    word, slash, name = head.partition("/")
    kinds = [_kind(each) for each in (_ALL if word == "all" and not slash else word.split(","))]
    if slash:
        names = [name, *names]
    if len(names) > MAX_NAMES or (names and len(kinds) > 1):
        raise CommandDenied(ARGUMENTS, f"names need one kind, and are at most {MAX_NAMES}")
    namespace = _namespace(line)
    if names and (namespace == "" or line.has("--selector") or line.has("--field-selector")):
        raise CommandDenied(ARGUMENTS, "a name goes with one namespace and no selector")
    reads: tuple[Read, ...] = tuple(
        Get(ObjectKey(kind.api_version, kind.kind, namespace if kind.namespaced else "", _name(kind, each)))
        for kind in kinds
        for each in names
    ) or tuple(_list(kind, namespace, line) for kind in kinds)
    output: Output = "name" if line.flags.get("--output") == "name" else "json"
    return PerformReads(reads, output, line.has("--ignore-not-found"), timeout)


def _list(kind: Kind, namespace: str, line: Line) -> List:
    return List(
        kind.api_version,
        kind.kind,
        namespace if kind.namespaced else "",
        line.flags.get("--selector", ""),
        line.flags.get("--field-selector", ""),
    )


def _logs(line: Line, timeout: timedelta) -> PerformReads:
    pod = _pod(line.words)
    if not _NAME.fullmatch(pod):
        raise _refusal(pod, "is not the name of a pod")
    read = Log(
        _namespace(line),
        pod,
        line.flags.get("--container", ""),
        line.has("--previous"),
        int(line.flags.get("--tail", LOG_TAIL_LINES)),
        int(line.flags.get("--limit-bytes", LOG_LIMIT_BYTES)),
    )
    return PerformReads((read,), "text", False, timeout)


def _pod(words: tuple[str, ...]) -> str:
    """`NAME`, `pod NAME` and `pod/NAME`: the seeds write the second."""
    match words:
        case (word, name) if word in ("pod", "pods", "po"):
            return name
        case (word,):
            kind, slash, name = word.partition("/")
            return name if slash and kind in ("pod", "pods", "po") else word
        case _:
            raise CommandDenied(ARGUMENTS, "logs needs the name of one pod")


def _events(line: Line, timeout: timedelta) -> PerformReads:
    if line.words:
        raise _refusal(line.words[0], "is not an argument of events")
    fields = []
    if "--for" in line.flags:
        word, _, name = line.flags["--for"].partition("/")
        kind = _kind(word)
        fields += [f"involvedObject.kind={kind.kind}", f"involvedObject.name={_name(kind, name)}"]
    types = line.flags.get("--types", "")
    if types and "," not in types:
        fields.append(f"type={types}")
    read = List("v1", "Event", _namespace(line), field_selector=",".join(fields))
    return PerformReads((read,), "json", False, timeout)


_ACTIONS: Final[dict[str, Callable[[Line, timedelta], PerformReads]]] = {"get": _get, "logs": _logs, "events": _events}


def _namespace(line: Line) -> str:
    """The namespace, `default` if none is named as kubectl has it, "" for all."""
    if line.has("--all-namespaces"):
        if line.has("--namespace"):
            raise CommandDenied(ARGUMENTS, "one namespace or all of them, not both")
        return ""
    return line.flags.get("--namespace", "default")


def _kind(word: str) -> Kind:
    kind = by_word(word) if word.isascii() and word.islower() else None
    if kind is None:
        raise _refusal(word, "is not a kind that may be read")
    return kind


def _name(kind: Kind, name: str) -> str:
    pattern = _RBAC_NAME if kind.api_version.startswith("rbac.") else _NAME
    if not pattern.fullmatch(name):
        raise _refusal(name, "is not a name")
    return name


def _refusal(text: str, why: str) -> CommandDenied:
    layer = PATTERNS if _SHELL.search(text) else ARGUMENTS
    return CommandDenied(layer, f"{_shown(text)} {why}")


def _shown(text: str) -> str:
    """A foreign text as it may stand in a message: short, escaped, in quotes."""
    return ascii(text[:80])
