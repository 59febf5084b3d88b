"""Decides whether every document of one schema is also valid for the other: by a proof, by a witness, or "unproven".

Engines disagree about the dot in a pattern. If a pattern has a dot, the verdict is "compatible" only if it holds in
both interpretations.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.clauses import Literal
from mailpact_contract_tool.compare.deadline import (
    PROCESSOR_TIME,
    SECONDS_TO_JUDGE,
    Clock,
    Deadline,
    OutOfTime,
)
from mailpact_contract_tool.compare.document import Document, SchemaError
from mailpact_contract_tool.compare.draft import Schema
from mailpact_contract_tool.compare.engines import Engines, patterns
from mailpact_contract_tool.compare.node import Node, Store
from mailpact_contract_tool.compare.outcome import Found, Nothing, Unknown
from mailpact_contract_tool.compare.search import Search
from mailpact_contract_tool.compare.verdict import NO_WITNESS, NoWitness, Verdict
from mailpact_contract_tool.patterns.reader import DOT_OF_ECMA, DOT_OF_OTHERS

_NOT_CONFIRMED = "a document that should show it was not confirmed by both engines"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict about one direction, with a witness or with the reasons why nothing is proved."""

    verdict: Verdict
    witness: JsonValue | NoWitness = NO_WITNESS
    reasons: frozenset[str] = frozenset()


COMPATIBLE = Judgement(Verdict.COMPATIBLE)


class ComparedSchema:
    """One of the compared schemas: its document, its node and its engines. Raises SchemaError."""

    def __init__(self, raw: Schema, store: Store, name: str) -> None:
        try:
            self.document = Document(raw, store, name)
        except SchemaError as error:
            raise SchemaError(error.pointer, error.fault, side=name) from error
        except OutOfTime as error:
            raise SchemaError("", "the schema takes too long to be read", side=name) from error
        self.node = self.document.node(self.document.root)
        self.engines = Engines(raw, store.deadline)


class Judge:
    """Answers questions about the two compared schemas."""

    def __init__(self, old: ComparedSchema, new: ComparedSchema, store: Store) -> None:
        self._old, self._new = old, new
        dotted = any("." in text for side in (old, new) for text in patterns(side.document.raw))
        dots = (DOT_OF_ECMA, DOT_OF_OTHERS) if dotted else (DOT_OF_ECMA,)
        self._searches = [Search(store, dot) for dot in dots]

    def backward(self, *, accepting: Iterable[Node] = (), refusing: Iterable[Node] = ()) -> Judgement:
        """Look for a document that the old schema and `accepting` accept, and the new schema and `refusing` refuse."""
        return self._judge([self._old.node, *accepting], [self._new.node, *refusing], self._old, self._new)

    def forward(self, *, accepting: Iterable[Node] = (), refusing: Iterable[Node] = ()) -> Judgement:
        """Look for a document that the new schema and `accepting` accept, and the old schema and `refusing` refuse."""
        return self._judge([self._new.node, *accepting], [self._old.node, *refusing], self._new, self._old)

    def _judge(
        self, accepting: list[Node], refusing: list[Node], accepts: ComparedSchema, refuses: ComparedSchema
    ) -> Judgement:
        goal = frozenset(
            [
                *(Literal(node, holds=True) for node in accepting),
                *(Literal(node, holds=False) for node in refusing),
            ]
        )
        reasons: frozenset[str] = frozenset()
        try:
            for search in self._searches:
                match search.question(goal):
                    case Found(value, doubts):
                        if accepts.engines.accept(value) is True and refuses.engines.accept(value) is False:
                            return Judgement(Verdict.BREAKING, value)
                        reasons |= doubts or {_NOT_CONFIRMED}
                    case Unknown(why):
                        reasons |= why
                    case Nothing():
                        pass
        except OutOfTime as error:
            reasons |= {str(error)}
        return Judgement(Verdict.UNPROVEN, NO_WITNESS, reasons) if reasons else COMPATIBLE


def counterexample(
    accepting: Schema, *, refusing: Schema, clock: Clock = PROCESSOR_TIME
) -> JsonValue | NoWitness:
    """Return a document that one schema accepts and the other one refuses; NO_WITNESS if none was found in time.

    `clock` returns seconds of processor time. Raises SchemaError for a schema that cannot be compared.
    """
    store = Store(Deadline(clock))
    judge = Judge(ComparedSchema(accepting, store, "old"), ComparedSchema(refusing, store, "new"), store)
    store.deadline.begin(SECONDS_TO_JUDGE)
    return judge.backward().witness
