"""Yields the changes of single keywords as edits.

An edit holds two whole schemas: the old schema with only this change made (`applied`), and the new schema with only
this change reverted (`undone`). So each change can be judged by itself at any place, also under `not` and in a branch.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.clauses import kinds
from mailpact_contract_tool.compare.document import Place
from mailpact_contract_tool.compare.node import DECIDING, Kind, Node, Store, canonical
from mailpact_contract_tool.compare.rules import BOUNDS, ChangeRule

Wrap = Callable[[Node], Node]
"""Puts a changed node back at its place and returns the whole schema."""

_DESCRIPTIONS = {
    "title": ChangeRule.DESCRIPTION_CHANGED,
    "description": ChangeRule.DESCRIPTION_CHANGED,
    "$comment": ChangeRule.DESCRIPTION_CHANGED,
    "examples": ChangeRule.DESCRIPTION_CHANGED,
    "default": ChangeRule.DEFAULT_CHANGED,
    "format": ChangeRule.FORMAT_CHANGED,
    "$id": ChangeRule.ID_CHANGED,
}
_ANY_CHANGE = {
    ("multipleOf",): ChangeRule.MULTIPLE_OF_CHANGED,
    ("minContains", "maxContains"): ChangeRule.CONTAINS_CHANGED,
    ("dependentRequired",): ChangeRule.DEPENDENT_REQUIRED_CHANGED,
}
"""Keywords with one rule for every change."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One difference; an edit without schemas does not decide about documents."""

    rule: ChangeRule
    pointer: str
    applied: Node | None = None
    undone: Node | None = None


@dataclass(frozen=True, slots=True)
class PlacedSchema:
    """A schema on one side: its place, its node, and the function that puts a changed node back."""

    place: Place
    node: Node
    wrap: Wrap

    def has(self, word: str) -> bool:
        """Return whether the schema has this keyword."""
        return word in self.place.keywords


@dataclass(frozen=True, slots=True)
class Pair:
    """Two schemas that correspond to each other."""

    old: PlacedSchema
    new: PlacedSchema
    store: Store

    def edit(self, rule: ChangeRule, word: str, applied: Node, undone: Node) -> Edit:
        """Return an edit of a keyword; the pointer leads into the new schema, or into the old one if it was removed."""
        return Edit(rule, self.pointer(word), self.old.wrap(applied), self.new.wrap(undone))

    def pointer(self, word: str) -> str:
        """Return the pointer to a keyword."""
        placed = self.new if self.new.has(word.partition("/")[0]) else self.old
        return f"{placed.place.pointer}/{word}"

    def keywords(self, rule: ChangeRule, *words: str) -> Edit:
        """Return an edit of whole keywords; the pointer names the first one that the new or else the old schema has."""
        word = next(word for placed in (self.new, self.old) for word in words if placed.has(word))
        old, new = self.old.node, self.new.node
        return self.edit(rule, word, self.store.taking(old, new, *words), self.store.taking(new, old, *words))

    def differs(self, *words: str) -> bool:
        """Return whether one of these keywords has a different value."""
        old, new = self.old.node.plain, self.new.node.plain
        return any(
            (word in old) != (word in new) or (word in old and canonical(old[word]) != canonical(new[word]))
            for word in words
        )


def plain_edits(pair: Pair) -> Iterator[Edit]:
    """Yield the edits of all keywords with plain values and of all keywords that only describe."""
    yield from _annotations(pair)
    yield from _types(pair)
    yield from _values(pair)
    yield from _sizes(pair)
    yield from _limit(
        pair, "minimum", "exclusiveMinimum", ChangeRule.MINIMUM_INCREASED, ChangeRule.MINIMUM_DECREASED
    )
    yield from _limit(
        pair, "maximum", "exclusiveMaximum", ChangeRule.MAXIMUM_INCREASED, ChangeRule.MAXIMUM_DECREASED
    )
    if pair.differs("pattern"):
        added, removed = "pattern" not in pair.old.node.plain, "pattern" not in pair.new.node.plain
        rule = (
            ChangeRule.PATTERN_ADDED
            if added
            else ChangeRule.PATTERN_REMOVED
            if removed
            else ChangeRule.PATTERN_CHANGED
        )
        yield pair.keywords(rule, "pattern")
    if pair.differs("uniqueItems"):
        unique = pair.new.node.plain.get("uniqueItems") is True
        yield pair.keywords(
            ChangeRule.UNIQUE_ITEMS_ADDED if unique else ChangeRule.UNIQUE_ITEMS_REMOVED, "uniqueItems"
        )
    for words, rule in _ANY_CHANGE.items():
        if pair.differs(*words):
            yield pair.keywords(rule, *words)
    old, new = pair.old.node.outside, pair.new.node.outside
    for word in sorted({*old, *new}):
        if old.get(word) != new.get(word):
            yield pair.keywords(ChangeRule.KEYWORD_OUTSIDE_SUBSET, word)


def _annotations(pair: Pair) -> Iterator[Edit]:
    old, new = pair.old.place.keywords, pair.new.place.keywords
    for word in sorted({*old, *new}):
        if (
            word not in DECIDING
            and word not in ("$defs", "$schema")
            and ((word in old) != (word in new) or canonical(old[word]) != canonical(new[word]))
        ):
            yield Edit(_DESCRIPTIONS.get(word, ChangeRule.ANNOTATION_CHANGED), pair.pointer(word))


def _types(pair: Pair) -> Iterator[Edit]:
    old, new = (
        kinds(placed.node.plain["type"]) if "type" in placed.node.plain else frozenset(Kind)
        for placed in (pair.old, pair.new)
    )
    if old != new:
        rule = (
            ChangeRule.TYPE_NARROWED
            if new < old
            else ChangeRule.TYPE_WIDENED
            if new > old
            else ChangeRule.TYPE_CHANGED
        )
        yield pair.keywords(rule, "type")


def _allowed(node: Node) -> dict[str, JsonValue] | None:
    """Return the values that `enum` or `const` allows, by their canonical texts; None if neither is there."""
    if "const" in node.plain:
        return {canonical(node.plain["const"]): node.plain["const"]}
    if "enum" in node.plain:
        return {canonical(value): value for value in cast(list[JsonValue], node.plain["enum"])}
    return None


def _values(pair: Pair) -> Iterator[Edit]:
    if not pair.differs("enum", "const"):
        return
    old, new = _allowed(pair.old.node), _allowed(pair.new.node)
    if any({"enum", "const"} <= set(placed.node.plain) for placed in (pair.old, pair.new)) or (
        "const" in pair.old.node.plain and "const" in pair.new.node.plain
    ):
        yield pair.keywords(ChangeRule.CONST_CHANGED, "const", "enum")
    elif old is None or new is None:
        yield pair.keywords(
            ChangeRule.ENUM_NARROWED if old is None else ChangeRule.ENUM_WIDENED, "enum", "const"
        )
    else:
        yield from _members(pair, old, new)


def _members(pair: Pair, old: dict[str, JsonValue], new: dict[str, JsonValue]) -> Iterator[Edit]:
    word = "const" if pair.new.has("const") else "enum"
    lost, gained = set(old) - set(new), set(new) - set(old)
    for rule, changed in ((ChangeRule.ENUM_NARROWED, lost), (ChangeRule.ENUM_WIDENED, gained)):
        if changed:
            yield pair.edit(
                rule,
                word,
                _with_values(pair.store, pair.old.node, {**old, **new}, set(old) ^ changed),
                _with_values(pair.store, pair.new.node, {**old, **new}, set(new) ^ changed),
            )


def _with_values(store: Store, node: Node, values: dict[str, JsonValue], kept: Iterable[str]) -> Node:
    return store.with_values(node, [values[text] for text in sorted(kept)])


def _sizes(pair: Pair) -> Iterator[Edit]:
    for word, (increased, decreased) in BOUNDS.items():
        unbounded = Fraction(0) if word.startswith("min") else None
        old, new = (
            Fraction(placed.node.integer(word)) if word in placed.node.plain else unbounded
            for placed in (pair.old, pair.new)
        )
        if old != new:
            greater = new is None or (old is not None and new > old)
            yield pair.keywords(increased if greater else decreased, word)


def _limit(
    pair: Pair, word: str, exclusive: str, increased: ChangeRule, decreased: ChangeRule
) -> Iterator[Edit]:
    """Yield the edit of a bound on a number, which two keywords can state."""
    upward = 1 if word == "minimum" else -1
    old, new = (_tightest(placed.node, word, exclusive, upward) for placed in (pair.old, pair.new))
    if old == new:
        return
    tighter = old is None or (new is not None and new > old)
    yield pair.keywords(increased if tighter == (upward == 1) else decreased, word, exclusive)


def _tightest(node: Node, word: str, exclusive: str, upward: int) -> tuple[Fraction, bool] | None:
    bounds = [
        (upward * Fraction(cast(float, node.plain[name])), name == exclusive)
        for name in (word, exclusive)
        if name in node.plain
    ]
    return max(bounds, default=None)
