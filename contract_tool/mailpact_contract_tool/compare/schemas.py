"""Compares two schemas: first the verdict as a whole, then a verdict for each change.

The first question is whether all documents of one schema are documents of the other schema. If not, the search looks
for a witness for each change: a document that the old schema accepts, and that both the new schema and the old schema
with only this change refuse. If the changes break only in combination, the search looks for a document that the new
schema accepts after one change is reverted.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from mailpact_contract_tool.compare.deadline import (
    PROCESSOR_TIME,
    SECONDS_TO_JUDGE,
    Clock,
    Deadline,
    OutOfTime,
)
from mailpact_contract_tool.compare.differ import edits
from mailpact_contract_tool.compare.draft import Schema
from mailpact_contract_tool.compare.edits import Edit
from mailpact_contract_tool.compare.judge import COMPATIBLE, ComparedSchema, Judge, Judgement
from mailpact_contract_tool.compare.node import Node, Store
from mailpact_contract_tool.compare.rules import ChangeRule
from mailpact_contract_tool.compare.verdict import Change, Comparison, Verdict

_MOST_JUDGED = 300
_MOST_NODES_JUDGED = 20_000  # the most schemas that are examined for all changes together


def compare(old: Schema, new: Schema, *, clock: Clock = PROCESSOR_TIME) -> Comparison:
    """Return the verdicts about the documents of `old` and the documents of `new`.

    `clock` returns seconds of processor time. If the time for a question is over before there is a proof or a witness,
    the verdict is unproven. Raises SchemaError for a schema that is not of draft 2020-12, refers to another file, or is
    too large or too deep.
    """
    store = Store(Deadline(clock))
    old_side, new_side = ComparedSchema(old, store, "old"), ComparedSchema(new, store, "new")
    judge = Judge(old_side, new_side, store)
    found = _in_time(edits(old_side.document, new_side.document, store))
    store.deadline.begin(SECONDS_TO_JUDGE)
    backward = _Direction(
        judge.backward(),
        alone=lambda edit: judge.backward(refusing=_nodes(edit.applied)),
        undone=lambda edit: judge.backward(accepting=_nodes(edit.undone)),
    )
    store.deadline.begin(SECONDS_TO_JUDGE)
    forward = _Direction(
        judge.forward(),
        alone=lambda edit: judge.forward(accepting=_nodes(edit.applied)),
        undone=lambda edit: judge.forward(refusing=_nodes(edit.undone)),
    )
    store.deadline.begin(SECONDS_TO_JUDGE)
    judged = max(10, min(_MOST_JUDGED, _MOST_NODES_JUDGED // store.size))
    changes = _changes(found, judged, backward, forward)
    return Comparison(
        _as_a_whole(backward.whole, (change.backward for change in changes)),
        _as_a_whole(forward.whole, (change.forward for change in changes)),
        tuple(changes),
        backward.whole.reasons | forward.whole.reasons,
    )


def _in_time(found: Iterator[Edit]) -> list[Edit]:
    """Return the edits that are found before the time is over; the verdict as a whole does not depend on them."""
    listed: list[Edit] = []
    with suppress(OutOfTime):
        listed.extend(found)
    return listed


def _as_a_whole(whole: Judgement, changes: Iterable[Verdict]) -> Verdict:
    """Return the verdict of one direction; a witness of a single change also breaks the whole."""
    return Verdict.BREAKING if Verdict.BREAKING in changes else whole.verdict


def _nodes(node: Node | None) -> Iterable[Node]:
    return () if node is None else (node,)


@dataclass(frozen=True, slots=True)
class _Direction:
    """The verdict of one direction as a whole, and the two questions about a single change."""

    whole: Judgement
    alone: Callable[[Edit], Judgement]
    undone: Callable[[Edit], Judgement]

    def judge(self, found: list[Edit], most: int) -> list[Judgement]:
        """Judge each change by itself; if no change is breaking, ask what each change refuses beside the others."""
        if self.whole.verdict == Verdict.COMPATIBLE:
            return [COMPATIBLE] * len(found)
        judged = self._each(found, most, self.alone)
        if all(one.verdict != Verdict.BREAKING for one in judged):
            other = self._each(found, most, self.undone)
            judged = [
                two if two.verdict == Verdict.BREAKING else one
                for one, two in zip(judged, other, strict=True)
            ]
        return judged

    def unexplained(self, judged: list[Judgement]) -> Judgement:
        """Return the verdict as a whole if no change explains it."""
        if self.whole.verdict in (Verdict.COMPATIBLE, *(one.verdict for one in judged)):
            return COMPATIBLE
        return COMPATIBLE if any(one.verdict == Verdict.BREAKING for one in judged) else self.whole

    def _each(self, found: list[Edit], most: int, question: Callable[[Edit], Judgement]) -> list[Judgement]:
        given_up = Judgement(
            Verdict.UNPROVEN, reasons=frozenset({"there are too many changes to judge each"})
        )
        judged = []
        for index, edit in enumerate(found):
            if edit.applied is None:
                judged.append(COMPATIBLE)
            else:
                judged.append(question(edit) if index < most else given_up)
        return judged


def _changes(found: list[Edit], most: int, backward: _Direction, forward: _Direction) -> list[Change]:
    judged = backward.judge(found, most), forward.judge(found, most)
    changes = [_change(edit.rule, edit.pointer, *both) for edit, *both in zip(found, *judged, strict=True)]
    unexplained = backward.unexplained(judged[0]), forward.unexplained(judged[1])
    if unexplained != (COMPATIBLE, COMPATIBLE):
        changes.append(_change(ChangeRule.CHANGES_COMBINED, "", *unexplained))
    return changes


def _change(rule: ChangeRule, pointer: str, backward: Judgement, forward: Judgement) -> Change:
    return Change(rule, pointer, backward.verdict, forward.verdict, backward.witness, forward.witness)
