"""Defines the outcomes of a search for a document."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.clauses import Literal
from mailpact_contract_tool.compare.node import Store


@dataclass(frozen=True, slots=True)
class Found:
    """A document was found; with `doubts`, something was not interpreted, and the document must be tried out."""

    value: JsonValue
    doubts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is a proof that no such document exists."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No document was found, and there is no proof that none exists; `reasons` say why."""

    reasons: frozenset[str]


Outcome: TypeAlias = Found | Nothing | Unknown

NOTHING = Nothing()


def unknown(*reasons: str) -> Unknown:
    """Return an unknown outcome with these reasons."""
    return Unknown(frozenset(reasons))


def first_of(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the first document without doubts, else a document with doubts, else Unknown or NOTHING."""
    doubtful: Found | None = None
    reasons: frozenset[str] = frozenset()
    for outcome in outcomes:
        match outcome:
            case Found(_, doubts):
                if not doubts:
                    return outcome
                doubtful = doubtful or outcome
            case Unknown(why):
                reasons |= why
            case Nothing():
                pass
    return doubtful or (Unknown(reasons) if reasons else NOTHING)


class ValueSearch(Protocol):
    """Answers questions about the parts of a document."""

    store: Store

    def ask(self, goal: frozenset[Literal]) -> Outcome:
        """Look for a value that fulfils all literals."""

    def spend(self, steps: int) -> None:
        """Count the steps of work of a question, without the steps of its own further questions; raises OutOfTime."""
