"""Kubernetes quantities (`128Mi`, `250m`, `1e3`), to compare them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

_PATTERN: Final = re.compile(
    r"([+-]?\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)"
)
_UNITS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


def parse(value: Any) -> Decimal | None:
    """The number that a quantity stands for; None if it is none."""
    match = _PATTERN.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None:
        return None
    digits, exponent, unit = match.groups()
    return Decimal(digits + (exponent or "")) * _UNITS.get(unit or "", Decimal(1))
