"""What a rule says: a finding, about states of objects, with its reason from the catalogue.

A state is "this object (or this container of it) is not doing its job". A finding shows states (they need an
explanation) or brings them about (`effects`), or both: a Service without endpoints is shown, and breaks its
clients. Only that, and topology, decide what explains what; no rule knows another rule. That is how some 150
of them can live together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from kubeagent.diagnosis.quotes import Quote
from kubeagent.resources.refs import ObjectKey
from kubeagent.resources.verdict import Category

V = TypeVar("V")


class Weight(IntEnum):
    """How precise a reason is: which of two explanations of the same symptom is worth more."""

    SYMPTOM = 0
    GENERIC = 1
    LIKELY = 2
    SPECIFIC = 3
    EXACT = 4


@dataclass(frozen=True)
class Reason:
    """One line of the catalogue."""

    code: str
    category: Category
    weight: Weight
    looks_at: str
    advice: str

    @property
    def is_symptom(self) -> bool:
        """Something that needs an explanation and is none."""
        return self.weight is Weight.SYMPTOM


class State(NamedTuple):
    """An object, or a container of it, that is not doing its job."""

    object: ObjectKey
    part: str = ""


class Alteration(NamedTuple):
    """That the faulty thing was changed: when, and by whom or in which revision."""

    time: datetime | None
    by: str = ""
    what: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that a rule saw. `object` and `field` name what to change, or what shows the symptom."""

    reason: Reason
    object: ObjectKey
    summary: str
    field: str = ""
    message: str = ""
    quotes: tuple[Quote, ...] = ()
    shows: frozenset[State] = frozenset()
    effects: frozenset[State] = frozenset()
    because: frozenset[State] = frozenset()
    alteration: Alteration | None = None
    since: datetime | None = None
    certain: bool = False

    @property
    def identity(self) -> tuple[str, ObjectKey, str]:
        """Findings that agree in this are one fault seen in several victims."""
        return self.reason.code, self.object, self.field

    @property
    def text(self) -> str:
        """What the chain says of it."""
        return self.message or self.summary


def states(*items: State | ObjectKey) -> frozenset[State]:
    """A set of states, from states and whole objects."""
    return frozenset(item if isinstance(item, State) else State(item) for item in items)


@dataclass(frozen=True)
class Rule(Generic[V]):
    """A row of the table: a pure function, and the reasons it may give."""

    find: Callable[[V], Iterable[Finding]]
    reasons: tuple[Reason, ...]
