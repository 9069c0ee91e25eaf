"""What a reply without evidence means: worth another attempt, or the end of what this agent can say.

The agent's error code is one of our tree, which says whether time may cure it; a seed-style agent sends none, and
its error is taken as final.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kubeagent.errors import tree
from kubeagent.hub.reconcile.observed import Failed, Garbled
from kubeagent.resources.verdict import Outcome, Verdict

LOOKING_AGAIN: Final = "LookingAgain"
"""The answer was "too early to tell": Dispatched=False until the next look."""

RETRIED: Final = frozenset({LOOKING_AGAIN, "NoAnswer", "EvidenceFailed", "BadReply", "CommandExpired", "CommandDenied"})
"""Reasons of Dispatched=False after which another attempt follows."""

_RETRYABLE: Final = frozenset(error.code for _, error in tree() if error.retryable)
_MAX_MESSAGE: Final = 700


class Failure(NamedTuple):
    """Why there is no evidence, and whether trying again may help."""

    reason: str
    message: str
    retryable: bool


def classify(reply: Failed | Garbled) -> Failure:
    """What the reply means."""
    if isinstance(reply, Garbled):
        return Failure("BadReply", _short(f"the reply cannot be used: {reply.message}"), True)
    text = _short(": ".join(part for part in (reply.code, reply.message) if part) or "no reason given")
    match reply.status:
        case "expired":
            return Failure("CommandExpired", f"the command reached the agent too late: {text}", True)
        case "denied":
            return Failure("CommandDenied", f"the agent refused the command: {text}", reply.code in _RETRYABLE)
        case "error":
            return Failure("EvidenceFailed", f"the agent could not gather: {text}", reply.code in _RETRYABLE)
        case other:
            return Failure("BadReply", _short(f"the reply has an unknown status {other!r}"), True)


def undetermined(failure: Failure) -> Verdict:
    """The verdict when no evidence can be had."""
    return Verdict(outcome=Outcome.UNDETERMINED, reason=failure.reason, message=failure.message)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"
