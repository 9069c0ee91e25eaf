"""What the API server answers, in the words of our error tree: the one place where a status code gets its meaning."""

from __future__ import annotations

from typing import Final

import msgspec

from kubeagent.errors import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
)

_BY_CODE: Final[dict[int, type[ClusterError]]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    409: Conflict,
    410: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: ClusterUnavailable,
}
MAX_MESSAGE: Final = 1024


class _Status(msgspec.Struct, frozen=True):
    """metav1.Status, as far as we read it."""

    message: str = ""
    reason: str = ""


def error_of(code: int, body: bytes, what: str) -> ClusterError:
    """The error for an answer that is no success; the message is the server's own where it gave one."""
    kind = _BY_CODE.get(code, ClusterUnavailable if code >= 500 else ClusterError)
    return kind((_message(body) or f"{what}: HTTP {code}")[:MAX_MESSAGE])


def _message(body: bytes) -> str:
    try:
        status = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return status.message or status.reason
