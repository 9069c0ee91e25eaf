"""The grammar of commands: what it produces, and that everything else is refused by a named layer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeagent.errors import BadMessage, CommandDenied
from kubeagent.protocol import commands
from kubeagent.protocol.commands import GatherEvidence, PerformReads, parse
from kubeagent.protocol.kinds import by_kind
from kubeagent.protocol.messages import Command, EvidenceRequest, decode
from kubeagent.protocol.reads import Get, List, Log, Read
from kubeagent.resources.refs import ObjectKey

POD = ObjectKey("v1", "Pod", "shop", "web-0")


def kubectl(action: str, *args: str, **more: Any) -> Command:
    return Command(id="cmd-1", action=action, args=list(args), **more)


def reads(action: str, *args: str) -> tuple[Read, ...]:
    operation = parse(kubectl(action, *args))
    assert isinstance(operation, PerformReads)
    return operation.reads


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["pods"], [List("v1", "Pod", "default")]),
        (["pods", "-n", "shop"], [List("v1", "Pod", "shop")]),
        (["po", "-A"], [List("v1", "Pod")]),
        (["nodes", "-n", "shop"], [List("v1", "Node")]),
        (["pod", "web-0", "--namespace=shop"], [Get(POD)]),
        (["pod/web-0", "-n", "shop", "-o", "yaml"], [Get(POD)]),
        (["deploy", "a", "b"], [Get(ObjectKey("apps/v1", "Deployment", "default", n)) for n in ("a", "b")]),
        (
            ["clusterrole", "system:node"],
            [Get(ObjectKey("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:node"))],
        ),
        (["svc", "a--b", "-n", "shop"], [Get(ObjectKey("v1", "Service", "shop", "a--b"))]),
        (["pods", "-l", "app=web,!canary"], [List("v1", "Pod", "default", "app=web,!canary")]),
        (["pods", "-l", "env in (a,b),tier notin (x)"], [List("v1", "Pod", "default", "env in (a,b),tier notin (x)")]),
        (["pods", "-l", "app.kubernetes.io/name!=x"], [List("v1", "Pod", "default", "app.kubernetes.io/name!=x")]),
        (
            ["pods", "-A", "--field-selector=status.phase!=Running,spec.nodeName=n1", "--chunk-size=200"],
            [List("v1", "Pod", field_selector="status.phase!=Running,spec.nodeName=n1")],
        ),
        (["pods,services", "-n", "shop"], [List("v1", "Pod", "shop"), List("v1", "Service", "shop")]),
        (["pods", "--sort-by=.metadata.name", "--no-headers", "--show-labels"], [List("v1", "Pod", "default")]),
    ],
)
def test_get(args: list[str], expected: list[Read]) -> None:
    assert list(reads("get", *args)) == expected


def test_all_is_the_usual_kinds() -> None:
    kinds = [read.kind for read in reads("get", "all", "-n", "shop") if isinstance(read, List)]
    assert kinds[:3] == ["Pod", "Service", "Deployment"]
    assert "Secret" not in kinds


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["web-0", "-n", "shop"], Log("shop", "web-0")),
        (["pod", "web-0", "-n", "shop"], Log("shop", "web-0")),
        (["pod/web-0", "-n", "shop", "-c", "app", "-p"], Log("shop", "web-0", "app", True)),
        (["web-0", "--tail=5", "--limit-bytes=100"], Log("default", "web-0", tail_lines=5, limit_bytes=100)),
    ],
)
def test_logs(args: list[str], expected: Log) -> None:
    assert reads("logs", *args) == (expected,)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-n", "shop", "--types=Warning"], List("v1", "Event", "shop", field_selector="type=Warning")),
        (["-A", "--types=Normal,Warning"], List("v1", "Event")),
        (
            ["--for", "pod/web-0", "-n", "shop"],
            List("v1", "Event", "shop", field_selector="involvedObject.kind=Pod,involvedObject.name=web-0"),
        ),
    ],
)
def test_events(args: list[str], expected: List) -> None:
    assert reads("events", *args) == (expected,)


@pytest.mark.parametrize(
    ("action", "args", "layer"),
    [
        ("delete", ["pod", "web"], commands.READ_ONLY),
        ("rollout", ["restart", "deployment/web"], commands.READ_ONLY),
        ("exec", ["web", "--", "sh"], commands.WHITELIST),
        ("GET", ["pods"], commands.WHITELIST),
        ("get ", ["pods"], commands.WHITELIST),
        ("get", [], commands.ARGUMENTS),
        ("get", ["secrets"], commands.ARGUMENTS),
        ("get", ["Secret"], commands.ARGUMENTS),
        ("get", ["pods,secrets"], commands.ARGUMENTS),
        ("get", ["Pods"], commands.ARGUMENTS),
        ("get", ["pods", "--kubeconfig=/x"], commands.ARGUMENTS),
        ("get", ["pods", "--server", "https://evil"], commands.ARGUMENTS),
        ("get", ["pods", "-Ashttps://evil"], commands.ARGUMENTS),
        ("get", ["pods", "-n"], commands.ARGUMENTS),
        ("get", ["pods", "-n", "-A"], commands.ARGUMENTS),
        ("get", ["pods", "-n", "a", "-n", "b"], commands.ARGUMENTS),
        ("get", ["pods", "-n", "a", "-A"], commands.ARGUMENTS),
        ("get", ["pods", "-A=true"], commands.ARGUMENTS),
        ("get", ["pods", "web", "-A"], commands.ARGUMENTS),
        ("get", ["pods", "web", "-l", "a=b"], commands.ARGUMENTS),
        ("get", ["pods,services", "web"], commands.ARGUMENTS),
        ("get", ["pods", "-o", "jsonpath={.items}"], commands.PATTERNS),
        ("get", ["pods", "--", "x"], commands.ARGUMENTS),
        ("get", ["pods", "web/exec"], commands.ARGUMENTS),
        ("get", ["pods", ".."], commands.ARGUMENTS),
        ("get", ["pods", "web\n"], commands.PATTERNS),
        ("get", ["pods", "$(id)"], commands.PATTERNS),
        ("get", ["pods", "-l", "app=web&watch=true"], commands.PATTERNS),
        ("get", ["pods", "a" * 254], commands.ARGUMENTS),
        ("get", ["pods", *("a" for _ in range(30))], commands.ARGUMENTS),
        ("get", ["x"] * 65, commands.LIMITS),
        ("get", ["pods", "--chunk-size=0"], commands.ARGUMENTS),
        ("logs", [], commands.ARGUMENTS),
        ("logs", ["deployment/web"], commands.ARGUMENTS),
        ("logs", ["web", "-f"], commands.ARGUMENTS),
        ("logs", ["web", "--tail=-1"], commands.ARGUMENTS),
        ("logs", ["web", "--tail=999999"], commands.ARGUMENTS),
        ("events", ["pods"], commands.ARGUMENTS),
        ("events", ["--watch"], commands.ARGUMENTS),
        ("events", ["--for", "secret/x"], commands.ARGUMENTS),
    ],
)
def test_everything_else_is_refused_by_a_layer(action: str, args: list[str], layer: str) -> None:
    with pytest.raises(CommandDenied) as denied:
        parse(kubectl(action, *args))
    assert denied.value.layer == layer


@pytest.mark.parametrize("text", ["0s", "-5s", "3m", "999h", "1e9s", "", "soon", 0, -1, 10**18])
def test_a_timeout_out_of_bounds(text: str | int) -> None:
    with pytest.raises(CommandDenied) as denied:
        parse(kubectl("get", "pods", timeout=text))
    assert denied.value.layer == commands.LIMITS


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("2m", 120), (5_000_000_000, 5)])
def test_a_timeout(text: str | int, seconds: int) -> None:
    assert parse(kubectl("get", "pods", timeout=text)).timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize("command", [
    Command(id="a b", action="get", args=["pods"]),
    Command(id="", action="get", args=["pods"]),
    Command(id="x", type="shell", action="get", args=["pods"]),
    Command(id="x", action="get", args=["pods"], evidence=EvidenceRequest(target=POD)),
])  # fmt: skip
def test_a_bad_envelope(command: Command) -> None:
    with pytest.raises(CommandDenied) as denied:
        parse(command)
    assert denied.value.layer == commands.SCHEMA


def test_remediation_is_another_process() -> None:
    with pytest.raises(CommandDenied) as denied:
        parse(kubectl("get", "pods", type="remediate"))
    assert denied.value.layer == commands.READ_ONLY


def test_another_tool() -> None:
    with pytest.raises(CommandDenied) as denied:
        parse(kubectl("get", "pods", tool="kubectl-evil"))
    assert denied.value.layer == commands.WHITELIST


def evidence(target: ObjectKey, **more: Any) -> Command:
    return Command(id="x", action="evidence", evidence=EvidenceRequest(target=target, **more))


def test_an_evidence_request() -> None:
    operation = parse(evidence(POD, namespaces=["shop"], timeout_seconds=7))
    assert operation == GatherEvidence(
        EvidenceRequest(target=POD, namespaces=["shop"], timeout_seconds=7), timedelta(seconds=7)
    )


@pytest.mark.parametrize(
    "command",
    [
        evidence(ObjectKey("v1", "Secret", "shop", "x")),
        evidence(ObjectKey("v1", "pods/exec", "shop", "x")),
        evidence(ObjectKey("v1/../x", "Pod", "shop", "x")),
        evidence(ObjectKey("v1", "Pod", "shop/../x", "x")),
        evidence(ObjectKey("v1", "Pod", "shop", "x/y")),
        evidence(POD, namespaces=["*"]),
        evidence(POD, timeout_seconds=0),
        evidence(POD, timeout_seconds=float("nan")),
        evidence(POD, timeout_seconds=1e9),
    ],
)
def test_a_bad_evidence_request(command: Command) -> None:
    with pytest.raises(CommandDenied):
        parse(command)


TOKENS = st.one_of(
    st.sampled_from(
        [
            "get",
            "logs",
            "events",
            "pods",
            "pod",
            "web",
            "-n",
            "shop",
            "-A",
            "-l",
            "a=b",
            "-o",
            "json",
            "--tail",
            "5",
            "-c",
        ]
    ),
    st.text(max_size=12),
)


@given(st.sampled_from(["get", "logs", "events"]) | st.text(max_size=6), st.lists(TOKENS, max_size=8))
def test_whatever_is_said_it_is_refused_or_a_read_of_a_known_kind(action: str, args: list[str]) -> None:
    try:
        operation = parse(kubectl(action, *args))
    except CommandDenied as denied:
        assert denied.layer.startswith("L")
        return
    assert isinstance(operation, PerformReads)
    for read in operation.reads:
        kind = read.key.kind if isinstance(read, Get) else "Pod" if isinstance(read, Log) else read.kind
        assert by_kind(kind) is not None


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_a_bad_message_or_denied(data: bytes) -> None:
    try:
        parse(decode(data, Command))
    except (BadMessage, CommandDenied):
        return


REDIRECTIONS = ["--server=https://evil", "--kubeconfig=/x", "--token=x", "--as=root", "-s", "--raw=/x", "--watch", "-f"]


@pytest.mark.parametrize("flag", REDIRECTIONS)
@pytest.mark.parametrize("place", range(4))
def test_no_place_in_a_line_lets_a_redirection_in(flag: str, place: int) -> None:
    args = ["pods", "web-0", "-n", "shop"]
    with pytest.raises(CommandDenied):
        parse(kubectl("get", *args[:place], flag, *args[place:]))


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("get pods -n shop", True),
        ("get pods -n other", False),
        ("get pods -A", False),
        ("get pods", False),
        ("get pod web -n other", False),
        ("get nodes", True),
        ("get nodes,pods -A", False),
        ("logs web -n shop", True),
        ("logs web -n other", False),
        ("events -A", False),
        ("events -n shop", True),
        ("get all -n other", False),
    ],
)
def test_the_namespaces_of_a_line_are_limited_like_those_of_gathering(line: str, allowed: bool) -> None:
    action, *args = line.split()
    command = kubectl(action, *args, namespaces=["shop"])
    if allowed:
        parse(command)
    else:
        with pytest.raises(CommandDenied, match="outside the allowed ones"):
            parse(command)


@pytest.mark.parametrize("kind", ["Secret", "Secrets", "SECRET", "SecretList"])
@pytest.mark.parametrize("api_version", ["", "v1", "vault.example/v1"])
def test_a_secret_is_no_target_whatever_it_is_called(kind: str, api_version: str) -> None:
    with pytest.raises(CommandDenied):
        parse(evidence(ObjectKey(api_version, kind, "shop", "x")))
    parse(evidence(ObjectKey("bitnami.com/v1alpha1", "SealedSecret", "shop", "x")))


@pytest.mark.parametrize(
    ("action", "args"),
    [
        ("describe", ["pod", "web"]),
        ("top", ["pods"]),
        ("logs", ["deploy/web"]),
        ("logs", ["web", "--since=1h"]),
        ("logs", ["web", "-f"]),
        ("rollout", ["status", "deploy/web"]),
    ],
)
def test_what_is_not_there_yet_is_refused_by_a_named_layer(action: str, args: list[str]) -> None:
    with pytest.raises(CommandDenied) as refusal:
        parse(kubectl(action, *args))
    assert refusal.value.layer.startswith("L")
    assert refusal.value.message
