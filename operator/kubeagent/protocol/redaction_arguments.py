"""Passwords among the arguments of a program: `--password X`, `-p X`, `mysql -pX`, `curl -u user:X`, `redis-cli -a X`.

A short flag means something else in most programs (`mkdir -p /data`, `nc -p 8080`), so a value that is a port, a path
or a plain word is spared, unless the program is known to take a password there.
"""

from __future__ import annotations

import re
from typing import Final

from kubeagent.protocol.redaction_patterns import is_secret_name

_PROGRAMS: Final = re.compile(
    r"(?:^|[/\s])(?:mysql(?:dump|admin|show|import|check|sh)?|mariadb(?:-[a-z]+)?|sshpass|mongo(?:sh|dump|restore)?|"
    r"redis-cli|ldap(?:search|modify|add|whoami)|sqlcmd|bcp|rabbitmqadmin|cqlsh)(?:\s|$)"
)
_SHORT: Final = ("-p", "-a", "-w", "-P")
_HARMLESS: Final = re.compile(r"[0-9]{1,5}(?::[0-9]{1,5})?|[./].*|[a-z][a-z_/.-]*|\$.*", re.DOTALL)
_GLUED: Final = re.compile(r"-p(?![a-z]+=)([^-=/\s].{3,})", re.DOTALL)


def takes_short_password(argument: str) -> bool:
    """Whether the argument is, or begins with, a program that takes its password by a short flag."""
    return _PROGRAMS.search(argument) is not None


def hidden_argument(before: str, argument: str, takes_password: bool) -> str | None:
    """What to show instead of an argument; None if it may be shown (or needs only the patterns)."""
    if before.startswith("-") and "=" not in before and not argument.startswith("-"):
        if is_secret_name(before):
            return "[REDACTED:argument]"
        if before in ("-u", "--user") and ":" in argument:
            return f"{argument.partition(':')[0]}:[REDACTED:argument]"
        if before in _SHORT and " " not in argument and (takes_password or not _HARMLESS.fullmatch(argument)):
            return argument if re.fullmatch(r"[0-9]{1,5}", argument) and before == "-P" else "[REDACTED:argument]"
    glued = _GLUED.fullmatch(argument)
    if glued and " " not in argument and (takes_password or _is_drawn(glued[1])):
        return "-p[REDACTED:argument]"
    return None


def _is_drawn(value: str) -> bool:
    """Digits and letters mixed: no word, no port."""
    return any(each.isdigit() for each in value) and any(each.isalpha() for each in value)
