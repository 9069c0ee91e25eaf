"""The output of a kubectl-style command: redacted JSON (which is YAML too), names, or a log, bounded in size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from kubeagent.kube.port import Object
from kubeagent.protocol.commands import Output
from kubeagent.protocol.redaction import redact_object, redact_text

MAX_OUTPUT: Final = 256 * 1024
_CUT: Final = "\n[truncated: %d more characters]"


def render(answers: Iterable[list[Object] | str], output: Output) -> str:
    """The text of the answers. Redaction comes before cutting, so that no secret is cut in two and missed."""
    texts = [each for each in answers if isinstance(each, str)]
    objects = [obj for each in answers if not isinstance(each, str) for obj in each]
    if output == "text":
        return _tail(redact_text("\n".join(texts)))
    if output == "name":
        return _bounded(
            "\n".join(f"{obj.get('kind', '')}/{obj.get('metadata', {}).get('name', '')}".lower() for obj in objects)
        )
    document = {"apiVersion": "v1", "kind": "List", "items": [redact_object(obj) for obj in objects]}
    return _bounded(msgspec.json.encode(document).decode())


def _tail(text: str) -> str:
    """The end of a log: what matters stands there."""
    if len(text) <= MAX_OUTPUT:
        return text
    return _CUT.lstrip() % (len(text) - MAX_OUTPUT) + "\n" + text[len(text) - MAX_OUTPUT :]


def _bounded(text: str) -> str:
    if len(text) <= MAX_OUTPUT:
        return text
    return text[:MAX_OUTPUT] + _CUT % (len(text) - MAX_OUTPUT)
