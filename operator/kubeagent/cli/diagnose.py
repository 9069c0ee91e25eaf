"""`kubeagent diagnose`: the same engine as the hub's, with the caller's kubeconfig; no operator, no NATS.

What comes out as JSON is a contract (docs/reference/cli.md): outcome, rootCauses, alternatives, unreadable.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import typer
import yaml
from rich.console import Console

from kubeagent.cli.render import render
from kubeagent.cli.show import EXIT_CODES
from kubeagent.diagnosis.gathering import Gathering
from kubeagent.diagnosis.verdict import judge
from kubeagent.errors import ConfigError
from kubeagent.kube.client import Client, connect
from kubeagent.kube.gather import gather
from kubeagent.protocol import kinds
from kubeagent.protocol.evidence import Evidence
from kubeagent.protocol.redaction import redact_evidence
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Verdict

_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True)
class Question:
    """What was typed."""

    target: str | None
    namespace: str | None
    all_namespaces: bool
    context: str | None
    dump: Path | None


def run(question: Question, output: str) -> int:
    """Print the verdict; 0 no fault, 1 a fault, 2 could not tell."""
    evidence = asyncio.run(_gather(question))
    verdict = judge(evidence)
    if output == "text":
        render(verdict, evidence.target, evidence.now, Console(highlight=False))
    else:
        typer.echo(_serialised(verdict, output))
    return EXIT_CODES[verdict.outcome]


async def _gather(question: Question) -> Evidence:
    if question.dump is not None:
        raise ConfigError("--from DIR is not built yet: it comes with the engine's scopes (see CHANGELOG)")
    async with connect(question.context) as client:
        target = await _target(question, client)
        evidence = await gather(client, Gathering(target), now=datetime.now(UTC), timeout=_TIMEOUT)
    return redact_evidence(evidence)


async def _target(question: Question, client: Client) -> ObjectKey:
    """The object that was meant. Raises ConfigError for what is no KIND/NAME, UnknownKind for what is no kind."""
    if question.all_namespaces:
        return ObjectKey("", "Cluster", "", "")
    namespace = question.namespace or client.default_namespace
    if question.target is None:
        return ObjectKey("v1", "Namespace", "", namespace)
    word, slash, name = question.target.partition("/")
    if not slash or not word or not name:
        raise ConfigError(f"{question.target!r} is not KIND/NAME, such as deployment/checkout or pod/web-0")
    row = kinds.by_word(word)
    if row is not None:
        return ObjectKey(row.api_version, row.kind, namespace if row.namespaced else "", name)
    api_version, namespaced = await client.resolve(word)
    return ObjectKey(api_version, word, namespace if namespaced else "", name)


def _serialised(verdict: Verdict, output: str) -> str:
    document = contract(verdict)
    if output == "yaml":
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip()
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def contract(verdict: Verdict) -> dict[str, Any]:
    """The document that tools read."""
    return {
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "message": verdict.message,
        "rootCauses": [cause.to_json() for cause in verdict.root_causes],
        "alternatives": [cause.to_json() for cause in verdict.alternatives],
        "unreadable": [each.to_json() for each in verdict.unreadable],
    }
