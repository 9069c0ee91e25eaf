"""Canaries of every kind must not come through; what a diagnosis needs must."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubeagent.protocol import redaction_text
from kubeagent.protocol.evidence import Applied, Evidence, PodLog, Refusal
from kubeagent.protocol.redaction import redact_evidence, redact_object, redact_text
from kubeagent.protocol.redaction_patterns import is_secret_name, is_secret_variable
from kubeagent.resources.refs import ObjectKey

PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7canary0123456789\nabcdefcanary==\n-----END RSA PRIVATE KEY-----"
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlY2FuYXJ5"
WORD = "Xk3canary9Qz"
LONG = "canary0A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6"

CANARIES = {
    "pem": f"starting\n{PEM}\ndone",
    "pem cut at its end": PEM.rpartition("\n")[0],
    "pem cut at its begin": PEM.partition("\n")[2],
    "pem in json": '{"key": "' + PEM.replace("\n", "\\n") + '"}',
    "jwt": f"token is {JWT} for you",
    "bearer": f"Authorization: Bearer {LONG}",
    "bearer without header": f"sent bearer {LONG}",
    "basic": "authorization: Basic dXNlcjpjYW5hcnlwYXNzd29yZA==".replace("dXNl", "canarydXNl"),
    "json header": f'"headers":{{"Authorization":"ApiKey {LONG}"}}',
    "cookie": f"Cookie: session={WORD}; theme=dark",
    "set-cookie": f"Set-Cookie: sid={LONG}; HttpOnly",
    "url": f"dial postgres://app:{WORD}@orders-db:5432/orders failed",
    "url without user": f"redis://:{WORD}@redis:6379/0",
    "amqp with an at sign": f"amqp://u:ca@n{WORD}@mq:5672",
    "password=": f"connecting with password={WORD}",
    "quoted password": f'"db_password": "{WORD} with blanks"',
    "escaped json": '{\\"password\\":\\"' + WORD + '\\"}',
    "yaml password": f"  password: {WORD}",
    "dsn": f"Server=db;Uid=app;Pwd={WORD};Database=x",
    "jdbc": f"jdbc:mysql://db:3306/x?user=app&password={WORD}&ssl=true",
    "environment dump": f"SMTP_PASSWORD={WORD} SMTP_HOST=mail",
    "camel case": f"clientSecret: {WORD}",
    "flag": f"exec app --api-token {WORD} --verbose",
    "flags in json": f'"args":["--password","{WORD}"]',
    "curl": f"curl -u admin:{WORD} http://x",
    "prose": f"login failed, password was {WORD}",
    "aws id": "key AKIACANARYCANARY1234 used".replace("CANARYCANARY1234", "CANARYCANARY1234"[:16]),
    "aws secret": "aws_secret_access_key = wJalrXUtnFEMIcanary7MDENGbPxRfiCYEXAMPLEK",
    "gcp": "AIzaSyCanary0123456789abcdefghijklmnopqr",
    "gcp oauth": f"ya29.{LONG}",
    "azure": f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={LONG}==;",
    "azure sas": f"https://x.blob.core.windows.net/c?sv=2024&sig={LONG}%3D",
    "github": "ghp_canary0123456789abcdefghijklmnopqrstuv",
    "github fine": "github_pat_11CANARY0_canary0123456789abcdef",
    "gitlab": "glpat-canary0123456789abcd",
    "slack": "xoxb-1234567890-canary0123456789",
    "slack hook": "https://hooks.slack.com/services/T000/B000/canary0123456789",
    "stripe": "sk_live_canary0123456789",
    "npm": "npm_canary0123456789abcdefghijklmnop",
    "pypi": "pypi-AgEIcHlwaS5vcmccanary0123456789abcdef",
    "openai": "sk-proj-canary0123456789abcdefgh",
    "hugging face": "hf_canaryABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "docker": "dckr_pat_canary0123456789abcdef",
    "docker config": '{"auths":{"r.example":{"auth":"Y2FuYXJ5OmNhbmFyeQcanary=="}}}',
    "vault": "hvs.canary0123456789abcdefgh",
    "sendgrid": "SG.canary0123456789abcd.canary0123456789canary0123456789canary",
    "grafana": "glsa_canary0123456789canary0123_1a2b3c4d",
    "telegram": "123456789:AAcanary0123456789abcdefghijklmnop",
    "nats seed": "SUACANARY" + "A2B3C4D5" * 6 + "A",
    "drawn near a keyword": f"signature mismatch for {LONG}",
}


@pytest.mark.parametrize("name", CANARIES)
def test_a_canary_does_not_come_through(name: str) -> None:
    text = CANARIES[name]
    clean = redact_text(text)
    assert "canary" not in clean.lower(), clean
    assert "[REDACTED:" in clean
    assert redact_text(clean) == clean


@pytest.mark.parametrize("name", CANARIES)
def test_nor_in_the_middle_of_a_log(name: str) -> None:
    lines = ["2026-11-21T09:00:00Z INFO GET /orders/17 200 3ms"] * 50
    clean = redact_text("\n".join([*lines, CANARIES[name], "", *lines]))
    assert "canary" not in clean.lower()
    assert clean.startswith(lines[0])


@pytest.mark.parametrize(
    "text",
    [
        "Back-off restarting failed container app in pod web-7d9f8c-x2_shop(0f8fad5b-d9cb-469f-a165-70867728950e)",
        'Failed to pull image "registry.example/web:1.9": unauthorized: authentication required',
        'MountVolume.SetUp failed for volume "creds" : secret "db-creds" not found',
        "couldn't find key DB_PASSWORD in Secret shop/db-creds",
        "couldn't find key password in ConfigMap shop/checkout-env",
        "dial tcp 10.0.0.7:5432: connect: connection refused",
        "connection to orders-db.shop.svc:5432 refused",
        "lookup orders-db on 10.96.0.10:53: no such host",
        'pods is forbidden: User "system:serviceaccount:shop:web" cannot list resource "pods" in API group ""',
        "FATAL: password authentication failed for user app",
        "error: token: expired",
        "invalid bearer token",
        "Pulled image sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "exceeded quota: compute, requested: limits.cpu=2, used: limits.cpu=3, limited: limits.cpu=4",
        "0/3 nodes are available: 1 node(s) had untolerated taint {key: value}, 2 Insufficient memory.",
        "http://web.shop.svc.cluster.local:8080/healthz returned 503",
        "secretName=db-creds tokenExpirationSeconds=3607 PASSWORD_FILE=/run/secrets/db",
        "password=${DB_PASSWORD} token=<nil> secret: null",
        'Liveness probe failed: Get "https://10.1.2.3:8443/healthz": x509: certificate has expired',
        "serviceaccount/default is missing key apiserver.kubernetes.io/legacy-token-last-used",
    ],
)
def test_what_a_diagnosis_reads_is_kept(text: str) -> None:
    assert redact_text(text) == text


def test_the_host_of_a_url_is_kept() -> None:
    assert redact_text("postgres://app:hunter2@orders-db:5432/x") == "postgres://[REDACTED:url]@orders-db:5432/x"


@pytest.mark.parametrize("name", ["DB_PASSWORD", "dbPassword", "API_KEY", "token", "passwords", "DB_PASS", "SECRET_1"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "DB_HOST",
        "PASSWORD_FILE",
        "secretName",
        "TOKEN_URL",
        "tokenExpirationSeconds",
        "secretKeyRef",
        "topologyKey",
        "COMPASS",
    ],
)
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_name(name)
    assert not is_secret_variable(name)


def test_a_key_is_a_secret_in_a_variable() -> None:
    assert is_secret_variable("SIGNING_KEY")
    assert is_secret_variable("tls.key")


def pod(**container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "managedFields": [{"manager": "x"}],
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": '{"canary":1}',
                "note": f"password={WORD}",
                "harmless": "yes",
            },
        },
        "spec": {"containers": [{"name": "app", "image": "web:1", **container}]},
    }


def container_of(obj: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = redact_object(obj)["spec"]["containers"][0]
    return first


def test_environment_variables() -> None:
    env = [
        {"name": "DB_HOST", "value": "orders-db:5432"},
        {"name": "DB_URL", "value": f"postgres://app:{WORD}@orders-db:5432/x"},
        {"name": "DB_PASSWORD", "value": WORD},
        {"name": "EMPTY_PASSWORD", "value": ""},
        {"name": "SALT", "value": LONG},
        {"name": "MODE", "value": "production"},
        {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "db-creds", "key": "password"}}},
    ]
    values = {each["name"]: each.get("value") for each in container_of(pod(env=env))["env"]}
    assert values == {
        "DB_HOST": "orders-db:5432",
        "DB_URL": "postgres://[REDACTED:url]@orders-db:5432/x",
        "DB_PASSWORD": "[REDACTED:value]",
        "EMPTY_PASSWORD": "",
        "SALT": "[REDACTED:random]",
        "MODE": "production",
        "FROM": None,
    }
    assert container_of(pod(env=env))["env"][-1] == env[-1]


def test_arguments_after_a_flag_and_in_one() -> None:
    args = ["serve", "--password", WORD, "--token", "--port", "8080", f"--api-key={WORD}", "--password-file", "/run/x"]
    assert container_of(pod(args=args))["args"] == [
        "serve",
        "--password",
        "[REDACTED:argument]",
        "--token",
        "--port",
        "8080",
        "--api-key=[REDACTED:password]",
        "--password-file",
        "/run/x",
    ]


def test_metadata_loses_what_may_not_travel_and_keeps_the_rest() -> None:
    metadata = redact_object(pod())["metadata"]
    assert metadata == {"name": "web", "annotations": {"note": "password=[REDACTED:password]", "harmless": "yes"}}


def test_a_config_map_keeps_its_keys() -> None:
    data = {"DB_HOST": "orders-db", "DB_PASSWORD": WORD, "app.yaml": f"db:\n  password: {WORD}\n  host: orders-db\n"}
    clean = redact_object(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data, "binaryData": {"k": "AAAA"}}
    )
    assert clean["data"]["DB_HOST"] == "orders-db"
    assert clean["data"]["DB_PASSWORD"] == "[REDACTED:value]"
    assert clean["data"]["app.yaml"] == "db:\n  password: [REDACTED:password]\n  host: orders-db\n"
    assert clean["binaryData"] == {"k": "[REDACTED:binary]"}


def test_of_a_secret_only_the_name_is_left_also_inside_another_object() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": "b"}}, "data": {"k": "v"}}
    named = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    assert redact_object(secret) == named
    assert redact_object({"kind": "Bundle", "spec": {"resources": [secret]}})["spec"]["resources"] == [named]


def test_fields_of_custom_resources_go_by_their_names() -> None:
    clean = redact_object({"kind": "Database", "spec": {"adminPassword": WORD, "secretName": "db-creds", "size": 3}})
    assert clean["spec"] == {"adminPassword": "[REDACTED:value]", "secretName": "db-creds", "size": 3}


def test_an_object_that_cannot_be_walked_is_reduced_to_its_name() -> None:
    deep: Any = WORD
    for _ in range(500):
        deep = {"a": deep}
    clean = redact_object({"apiVersion": "x/v1", "kind": "Deep", "metadata": {"name": "d"}, "spec": deep})
    assert clean == {"apiVersion": "x/v1", "kind": "Deep", "metadata": {"name": "d"}}


def test_text_that_cannot_be_redacted_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> bytes:
        raise RuntimeError

    monkeypatch.setattr(redaction_text, "_until_stable", fail)
    assert redact_text("a text with a canary") == "[REDACTED:error 20 characters]"


def test_text_that_never_settles_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction_text, "_pass", lambda text: text + b"x")
    assert redact_text("a text with a canary") == "[REDACTED:text]"


def evidence() -> Evidence:
    key = ObjectKey("v1", "Pod", "shop", "web")
    return Evidence(
        target=key,
        now=datetime(2026, 11, 21, tzinfo=UTC),
        objects=(pod(env=[{"name": "TOKEN", "value": WORD}]),),
        logs=(PodLog(namespace="shop", pod="web", container="app", text=CANARIES["url"]),),
        applied=(
            Applied(object=key, path="data.DB_PASSWORD", state="removed", digest="0123456789ab"),
            Applied(object=key, path="data.DB_HOST", state="removed", digest="0123456789ab"),
        ),
        unreadable=(Refusal(object=key, reason="Forbidden", message=CANARIES["jwt"]),),
    )


def test_evidence_is_redacted_in_all_its_parts_and_twice_is_once() -> None:
    clean = redact_evidence(evidence())
    assert b"canary" not in msgspec.json.encode(clean).lower()
    assert [each.digest for each in clean.applied] == ["", "0123456789ab"]
    assert redact_evidence(clean) == clean


SIGNS = ["password", "=", ": ", '"', "\n", "://", "@", "[REDACTED:", "\x1b", "\x1b[0m", "\u200b"]
PIECES = st.one_of(st.sampled_from([*CANARIES.values(), *SIGNS]), st.text())


def test_text_without_a_secret_keeps_its_terminal_escapes() -> None:
    line = "\x1b[31mERROR\x1b[0m connection refused orders-db:5432"
    assert redact_text(line) == line


@example("\x1b-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7canary0123456789\nabcdefcanary==")
@given(st.lists(PIECES, max_size=8).map("".join))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), PIECES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["env", "name", "value", "args", "data", "metadata", "annotations", "kind", "password", "x"]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["kind", "metadata", "spec", "data", "binaryData"]), JSON))
def test_any_object_can_be_redacted_and_twice_is_once(obj: dict[str, Any]) -> None:
    once = redact_object(obj)
    assert redact_object(once) == once


@pytest.mark.parametrize(
    "arguments",
    [
        ["-p", "S3cretCanary"],
        ["mysql", "-uroot", "-pcanarylower"],
        ["mysql", "-uroot", "-pS3cretCanary"],
        ["serve", "-pS3cretCanary"],
        ["--password", "canary"],
        ["redis-cli", "-a", "canary"],
        ["ldapsearch", "-w", "canary"],
        ["curl", "-u", "user:canary", "http://x"],
        ["sh", "-c", "mysql -u root -pcanary -h db"],
        ["sh", "-c", "sshpass -p canary ssh host"],
        ["sh", "-c", "redis-cli -a canary ping"],
    ],
)
def test_passwords_among_arguments(arguments: list[str]) -> None:
    assert "anary" not in str(redact_object({"kind": "Pod", "spec": {"containers": [{"command": arguments}]}}))


@pytest.mark.parametrize(
    "line",
    ["mkdir -p /data/x", "nc -p 8080 host", "compose -p shop up", "serve -port=8080", "x -p 80:8080", "cp -pr a b"],
)
def test_other_short_flags_are_kept(line: str) -> None:
    pod = {"kind": "Pod", "spec": {"containers": [{"command": line.split()}]}}
    assert redact_object(pod)["spec"]["containers"][0]["command"] == line.split()
    assert redact_text(line) == line


@pytest.mark.parametrize(
    "text",
    [
        "decoded " + base64.b64encode(b"db_password=S3cretCanary").decode(),
        "\x1b[31mpassword\x1b[0m=\x1b[1mS3cretCanary\x1b[0m",
        "pass\u200bword=S3cretCanary",
    ],
)
def test_secrets_in_disguise(text: str) -> None:
    clean = redact_text(text)
    assert "anary" not in clean
    assert "c3N3b3JkPV" not in clean
    assert redact_text(clean) == clean


@pytest.mark.parametrize(
    "manifest",
    ["kind: Secret\ndata:\n  foo: UzNjcmV0Q2FuYXJ5OXg=\n", '{"data":{"foo":"UzNjcmV0Q2FuYXJ5OXg="},"kind":"Secret"}'],
)
def test_a_secret_that_is_written_down_in_a_configmap(manifest: str) -> None:
    assert "UzNj" not in str(redact_object({"kind": "ConfigMap", "data": {"manifest.yaml": manifest}}))


def test_base64_that_holds_no_secret_is_kept() -> None:
    text = "payload " + base64.b64encode(b"the quick brown fox jumps over the dog").decode()
    assert redact_text(text) == text


def test_a_short_name_field_may_still_hold_a_secret() -> None:
    assert "anary" not in str(redact_object({"kind": "X", "spec": {"name": "password=S3cretCanary"}}))
    assert "anary" not in str(redact_object({"kind": "X", "spec": {"image": "https://u:S3cretCanary@reg/x"}}))
