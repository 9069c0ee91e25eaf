"""What a secret looks like in text: an ordered table of rules, all linear (RE2), each with the kind that it leaves.

A rule replaces its first group that took part, or the whole match if it has none. `plausible` looks at what would be
replaced (and, for words in prose, at how it was written) and may spare it: `token: expired` is worth more than a mask.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

MARK: Final = b"[REDACTED:"

Plausible = Callable[[bytes, bytes], bool]
"""Gets the value and the whole match."""


class Rule(NamedTuple):
    """One row."""

    kind: str
    pattern: str
    plausible: Plausible | None = None


SECRET_WORDS: Final = (
    r"pass(?:wd|word|phrase|code)|pwd|secret|token|credentials?|api[_.-]?key|apikey|access[_.-]?key|private[_.-]?key|"
    r"secret[_.-]?key|client[_.-]?secret|account[_.-]?key|shared[_.-]?key|encryption[_.-]?key|signing[_.-]?key|"
    r"auth[_.-]?key|master[_.-]?key|license[_.-]?key|private[_.-]?key[_.-]?id|session[_.-]?id|otp"
)
_INNOCENT: Final = (
    r"(?:names?|namespace|ref|refs|file|files|path|dir|dirs|type|types|url|uri|urls|host|hosts|port|endpoint|addr|address|"
    r"seconds|minutes|hours|ttl|expiry|expires|expiration|timeout|count|length|size|policy|enabled|disabled|required|"
    r"version|mode|format|header|provider|issuer|audience|audiences|algorithm|strategy|class|kind|status|state|"
    r"rotation|interval|limit|limits|max|min|prefix|suffix|scope|scopes|engine|store|service|server|mount|projection|key)"
)
_NAME: Final = re.compile(
    rf".*(?:{SECRET_WORDS})(?:s|[_.-]?\d+|[_.-][a-z0-9_.-]*)?|(?:.*[_.-])?(?:pass|pw)(?:[_.-].*)?", re.ASCII
)
_CAMEL: Final = re.compile(r"([a-z0-9])([A-Z])")
_INNOCENT_END: Final = re.compile(rf"(?:.*[_.-])?{_INNOCENT}$", re.ASCII)
_KEY_END: Final = re.compile(rf".*(?:{SECRET_WORDS})$", re.ASCII)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a field or flag of that name holds a secret: `dbPassword` does, `secretName` does not."""
    snake = _CAMEL.sub(r"\1_\2", name).lower().lstrip("-")
    if _INNOCENT_END.fullmatch(snake) and not _KEY_END.fullmatch(snake):
        return False
    return _NAME.fullmatch(snake) is not None


def is_secret_variable(name: str) -> bool:
    """The same for variables and keys of a ConfigMap, where a `..._KEY` is one too (`topologyKey` of a Pod is not)."""
    return is_secret_name(name) or name.lower().endswith(("_key", ".key", "-key"))


def looks_random(value: bytes) -> bool:
    """Whether a token was drawn, not written: letters of both cases with digits, and little repetition."""
    if len(value) < 20 or value.startswith((b"/", MARK)) or b"=" in value.rstrip(b"="):
        return False
    kinds = (any(65 <= c <= 90 for c in value), any(97 <= c <= 122 for c in value), any(48 <= c <= 57 for c in value))
    if not all(kinds):
        return False
    total = len(value)
    entropy = -sum(n / total * math.log2(n / total) for n in Counter(value).values())
    return entropy >= 3.9 and not _is_path(value)


def _is_path(value: bytes) -> bool:
    parts = value.split(b"/")
    return len(parts) > 2 and max(map(len, parts)) < 20


def _not_prose(value: bytes, match: bytes) -> bool:
    """Spare plain words after a colon or a blank: `password authentication failed`, `token: expired`."""
    if _NOTHING.fullmatch(value):
        return False
    if b"=" in match[: match.rfind(value)] or b'"' in match or b"'" in match:
        return True
    return len(value) >= 6 and not _WORD.fullmatch(value)


def _flag_value(value: bytes, match: bytes) -> bool:
    return not value.startswith(b"-") and _NOTHING.fullmatch(value) is None


def _keyword(value: bytes, match: bytes) -> bool:
    name = match[: match.rfind(value)].rstrip(b" \t\"'\\=:>").rpartition(b'"')[2]
    return is_secret_name(name.decode("ascii", "replace")) and _not_prose(value, match)


def _userinfo(value: bytes, match: bytes) -> bool:
    return not value.endswith(b":")


def _drawn(value: bytes, match: bytes) -> bool:
    return any(48 <= c <= 57 for c in value) or (any(65 <= c <= 90 for c in value[1:]) and len(value) >= 20)


_NOTHING: Final = re.compile(
    rb"(?i)(?:null|nil|none|true|false|undefined|<nil>|<none>|<unset>|<set>|\*+|x{3,}|\[redacted.*|\$\{?\(?[a-z0-9_.]+\)?\}?|"
    rb"\{\{.*|\(.*|\d{1,4})"
)
_WORD: Final = re.compile(rb"[A-Z]?[a-z]+(?:[-./][A-Za-z]?[a-z]+)*[.:!?]?|[a-z0-9-]+/[a-z0-9.-]+|[A-Z][A-Za-z]+:?")

_VALUE: Final = r"""(?:\\*"([^"\\\r\n]+)|\\*'([^'\\\r\n]+)|([^\s"'\\,;&}\])]+))"""
_WORDS: Final = rf"[A-Za-z0-9_.-]*(?:{SECRET_WORDS})[A-Za-z0-9_.-]*"

RULES: Final[tuple[Rule, ...]] = (
    Rule("pem", r"-----BEGIN [^-\r\n]{1,60}-----(?s:.*?)(?:-----END [^-\r\n]{1,60}-----|\z)"),
    Rule(
        "pem",
        r"(?:[A-Za-z0-9+/=]{16,76}(?:\s|\\n|\\r)+)*[A-Za-z0-9+/=]{1,76}(?:\s|\\n|\\r)+-----END [^-\r\n]{1,60}-----",
    ),
    Rule("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*"),
    Rule(
        "authorization",
        r"""(?i)\bauthorization\\*["']?\s*[:=]\s*\\*["']?((?:(?:bearer|basic|token|digest|negotiate|apikey|"""
        r"""aws4-hmac-sha256)\s+)?[^\s"',;\\\[]{4,}[^\r\n"'\\]*)""",
        lambda value, _: not _WORD.fullmatch(value),
    ),
    Rule("bearer", r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{16,})", _drawn),
    Rule("cookie", r"""(?i)\b(?:set-)?cookie\\*["']?\s*[:=]\s*\\*["']?([^\s"'=]+=[^\r\n"'\\]+)"""),
    Rule("url", r"""\b[A-Za-z][A-Za-z0-9+.-]*://([^\s/@:"'<>\[]*:[^\s/"'<>\[]+)@""", _userinfo),
    Rule("aws", r"\b((?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16})\b"),
    Rule("aws", r"(?i)\baws[a-z0-9_ .-]{0,24}(?:secret|key)[a-z0-9_ .-]{0,24}[\"'=:\s]{1,5}([A-Za-z0-9/+]{40})\b"),
    Rule("gcp", r"\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}|\bGOCSPX-[0-9A-Za-z_-]{20,}"),
    Rule("azure", r"(?i)\b(?:AccountKey|SharedAccessKey|SharedSecret)\s*=\s*([A-Za-z0-9+/=]{16,})"),
    Rule("azure", r"[?&;]sig=([A-Za-z0-9%+/=_-]{16,})|\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}"),
    Rule("github", r"\bgh[pousr]_[A-Za-z0-9]{20,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    Rule("gitlab", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_.-]{20,}"),
    Rule("slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Za-z0-9-]{10,}"),
    Rule("slack", r"\bhooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/+_-]{10,})"),
    Rule(
        "webhook",
        r"\b(?:discord(?:app)?\.com/api/webhooks|oapi\.dingtalk\.com/robot/send\?access_token=)/?([\w/-]{16,})",
    ),
    Rule("stripe", r"\b(?:[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,})"),
    Rule("npm", r"\bnpm_[A-Za-z0-9]{30,}"),
    Rule("pypi", r"\bpypi-[A-Za-z0-9_-]{32,}"),
    Rule("llm", r"\bsk-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}|\bgsk_[A-Za-z0-9]{30,}"),
    Rule("docker", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    Rule("vault", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"),
    Rule("sendgrid", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{30,}"),
    Rule("digitalocean", r"\bdo[opr]_v1_[a-f0-9]{40,}"),
    Rule("grafana", r"\bglsa_[A-Za-z0-9]{20,}_[A-Fa-f0-9]{8}|\bglc_[A-Za-z0-9+/=]{32,}"),
    Rule("databricks", r"\bdapi[0-9a-f]{32}"),
    Rule("shopify", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    Rule("atlassian", r"\bATATT3[A-Za-z0-9_=-]{40,}"),
    Rule("telegram", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}"),
    Rule("twilio", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    Rule("nkey", r"\bS[UANOCX][A-Z2-7]{56}\b"),
    Rule("age", r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}"),
    Rule("docker-auth", r"""\\*"auth\\*"\s*:\s*\\*"([A-Za-z0-9+/=]{8,})"""),
    Rule("userpass", r"""(?:^|\s)(?:-u|--user)[= ]\s*["']?([^\s:"'\[]+:[^\s"']+)"""),
    Rule(
        "userpass",
        r"(?:^|[\s/])(?:mysql(?:dump|admin)?|mariadb(?:-dump)?|sshpass|mongo(?:sh|dump|restore)?)\s[^\r\n|;&]{0,200}?\s?"
        r"-p\s?([^\s\"'\[-][^\s\"']*)",
        lambda value, _: _NOTHING.fullmatch(value) is None,
    ),
    Rule("userpass", r"(?:^|[\s/])redis-cli\s[^\r\n|;&]{0,200}?\s?-a\s?([^\s\"'\[-][^\s\"']*)"),
    Rule(
        "flag",
        rf"""(?i)(?:^|[\s"'\[,])--?(?:[a-z0-9-]*-)?(?:{SECRET_WORDS})(?:\\*["']\s*,\s*\\*["']|\s+["']?)([^\s"',\]]+)""",
        _flag_value,
    ),
    Rule("password", rf"""(?i){_WORDS}\\*["']?[ \t]*(?::=|=>|=|:)[ \t]*{_VALUE}""", _keyword),
    Rule(
        "password",
        r"""(?i)\b(?:password|passwd|passphrase|identified by)\s+(?:is\s+|was\s+|:\s*)?["']?([^\s"'\[]{6,})""",
        lambda value, match: not _WORD.fullmatch(value) and _NOTHING.fullmatch(value) is None,
    ),
)
"""In the order in which they are applied; what is specific comes first, so that the mark says what it was."""

NEAR: Final = r"(?i)key|token|secret|passw|pwd|credential|auth|signature|private|bearer"
"""A random-looking token within REACH bytes after one of these is a secret."""
REACH: Final = 40
