"""The registry that our handlers hang on."""

from __future__ import annotations

from typing import Final

import kopf

registry: Final = kopf.OperatorRegistry()
