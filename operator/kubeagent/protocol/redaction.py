"""Redaction of evidence, by structure first and by patterns after: at the edge before NATS, and again at the hub.

Structure knows what patterns cannot: that `value` of an environment variable called DB_PASSWORD is a secret however it
looks, and that `orders-db:5432` under DB_HOST is none but the very reference a diagnosis follows. Keys, names and
references are always kept. A field that cannot be redacted is dropped, never passed on.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from kubeagent.protocol.evidence import Applied, Evidence
from kubeagent.protocol.redaction_arguments import hidden_argument, takes_short_password
from kubeagent.protocol.redaction_patterns import is_secret_name, is_secret_variable, looks_random
from kubeagent.protocol.redaction_text import redact_text

__all__ = ["redact_evidence", "redact_object", "redact_text"]

Object = dict[str, Any]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_DROPPED_ANNOTATIONS: Final = (LAST_APPLIED, "kopf.zalando.org/last-handled-configuration")
_VERBATIM: Final = frozenset(
    ("apiVersion", "kind", "uid", "name", "namespace", "resourceVersion", "creationTimestamp", "nodeName", "image")
)
"""Fields that name things and are joined on; the API server's grammar leaves no room for a secret in most of them."""
_SECRET_KIND: Final = re.compile(r"""\bkind\\*["']?\s{0,9}:\s{0,9}\\*["']?Secret\b""")
_DATA: Final = re.compile(r"""\b(?:data|stringData)\\*["']?\s{0,9}:""")
_UNLIKE_NAMES: Final = re.compile(r"[\s=?&]|://")
_MAX_DEPTH: Final = 100


def redact_evidence(evidence: Evidence) -> Evidence:
    """The same evidence without secrets."""
    redactor = _Redactor()
    return msgspec.structs.replace(
        evidence,
        objects=tuple(redactor.object(obj) for obj in evidence.objects),
        applied=tuple(_applied(each) for each in evidence.applied),
        logs=tuple(msgspec.structs.replace(log, text=redact_text(log.text)) for log in evidence.logs),
        unreadable=tuple(
            msgspec.structs.replace(each, message=redact_text(each.message)) for each in evidence.unreadable
        ),
    )


def redact_object(obj: Object) -> Object:
    """One Kubernetes object without secrets."""
    return _Redactor().object(obj)


class _Redactor:
    """Remembers what it has seen, for the same strings stand in hundreds of objects."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def object(self, obj: Object) -> Object:
        try:
            return self._object(obj)
        except (RecursionError, AttributeError, TypeError, ValueError):
            return _name_only(obj)

    def _object(self, obj: Object) -> Object:
        kind = obj.get("kind")
        if kind == "Secret":
            return _name_only(obj)
        clean = {name: self._value(name, value, 0) for name, value in obj.items() if name not in ("metadata", "data")}
        if "metadata" in obj:
            clean["metadata"] = self._metadata(obj["metadata"])
        if "data" in obj:
            clean["data"] = self._data(obj["data"])
        if isinstance(obj.get("binaryData"), dict):
            clean["binaryData"] = dict.fromkeys(obj["binaryData"], "[REDACTED:binary]")
        return clean

    def _metadata(self, metadata: Any) -> Any:
        if not isinstance(metadata, dict):
            return {}
        kept = {name: value for name, value in metadata.items() if name != "managedFields"}
        annotations = kept.get("annotations")
        if isinstance(annotations, dict):
            kept["annotations"] = {
                name: self._named(name, value)
                for name, value in annotations.items()
                if name not in _DROPPED_ANNOTATIONS
            }
        return {name: self._value(name, value, 0) for name, value in kept.items()}

    def _data(self, data: Any) -> Any:
        """The data of a ConfigMap (or of a ControllerRevision, which is an object)."""
        if not isinstance(data, dict):
            return self._value("data", data, 0)
        return {name: self._named(name, value) for name, value in data.items()}

    def _named(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return value if value == "" else self._string_of(name, value)
        return self._value(name, value, 0)

    def _string_of(self, name: str, value: str) -> str:
        """The value of an environment variable or of a key: hidden if its name says so or if it was drawn."""
        if is_secret_variable(name):
            return "[REDACTED:value]"
        if " " not in value and looks_random(value.encode("utf-8", "replace")) and "://" not in value:
            return "[REDACTED:random]"
        return self._text(value)

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            if name in _VERBATIM and len(value) < 64 and not _UNLIKE_NAMES.search(value):
                return value
            return "[REDACTED:value]" if value and is_secret_name(name) else self._text(value)
        if isinstance(value, dict):
            return self._mapping(value, depth + 1)
        if isinstance(value, list | tuple):
            return self._list(name, value, depth + 1)
        return value

    def _mapping(self, value: Object, depth: int) -> Object:
        if depth > _MAX_DEPTH:
            raise RecursionError
        if value.get("kind") == "Secret" and ("data" in value or "stringData" in value):
            return _name_only(value)
        return {
            name: self._metadata(each) if name == "metadata" else self._value(name, each, depth)
            for name, each in value.items()
        }

    def _list(self, name: str, values: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        match name:
            case "env":
                return [self._env(each, depth) for each in values]
            case "args" | "command":
                return self._arguments(values, depth)
            case "httpHeaders":
                return [self._env(each, depth) for each in values]
            case _:
                return [self._value("", each, depth) for each in values]

    def _env(self, variable: Any, depth: int) -> Any:
        if not isinstance(variable, dict) or not isinstance(variable.get("value"), str):
            return self._value("", variable, depth)
        rest = {name: self._value(name, each, depth) for name, each in variable.items() if name != "value"}
        return {**rest, "value": self._named(str(variable.get("name", "")), variable["value"])}

    def _arguments(self, values: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        """What follows a flag such as --password is hidden; `--password=x` is a pattern."""
        clean: list[Any] = []
        before = ""
        takes_password = any(isinstance(each, str) and takes_short_password(each) for each in values)
        for each in values:
            hidden = hidden_argument(before, each, takes_password) if isinstance(each, str) else None
            clean.append(self._value("", each, depth) if hidden is None else hidden)
            before = each if isinstance(each, str) else ""
        return clean

    def _text(self, value: str) -> str:
        if "Secret" in value and _SECRET_KIND.search(value) and _DATA.search(value):
            return "[REDACTED:secret manifest]"
        if len(value) > 512:
            return redact_text(value)
        clean = self._seen.get(value)
        if clean is None:
            clean = self._seen[value] = redact_text(value)
        return clean


def _name_only(obj: Object) -> Object:
    """What is left of an object that may not be shown: its name."""
    metadata = obj.get("metadata") if isinstance(obj.get("metadata"), dict) else {}
    kept = {name: metadata[name] for name in ("name", "namespace", "uid") if metadata and name in metadata}
    return {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), "metadata": kept}


def _applied(each: Applied) -> Applied:
    """The digest of a short secret could be guessed; where the path says that it is one, the digest goes."""
    last = each.path.rpartition(".")[2]
    return msgspec.structs.replace(each, digest="") if each.digest and is_secret_name(last) else each
