"""Translates `unevaluatedProperties` and `unevaluatedItems` by means of the other keywords of their schema.

A subschema that applies to the same value evaluates the members and items that it names, if it accepts the value. So
each combination of accepting and refusing subschemas is a separate case, and in each case the remaining members and
items are known. If more than a few subschemas decide, the keyword is kept as an opaque atom.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from mailpact_contract_tool.compare.clauses import Alternative, Atom, Item, Keyword, Literal, Op, unit
from mailpact_contract_tool.compare.node import Kind, Node, Store

_MOST_CONDITIONS = 7
KEYWORDS = {Kind.OBJECT: "unevaluatedProperties", Kind.ARRAY: "unevaluatedItems"}


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """What one subschema evaluates if all of `given` hold: members, the first items, and items that `some` accept."""

    given: tuple[Item, ...] = ()
    names: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    prefix: int = 0
    some: frozenset[Node] = frozenset()
    everything: bool = False

    def with_(self, other: "_Evaluated") -> "_Evaluated":
        """Return what both evaluate."""
        return _Evaluated(
            (),
            self.names | other.names,
            self.patterns | other.patterns,
            max(self.prefix, other.prefix),
            self.some | other.some,
            self.everything or other.everything,
        )


def unevaluated(node: Node, kind: Kind, store: Store) -> Keyword | None:
    """Return the keyword about members or items that no other keyword evaluates; None if the schema has none."""
    child = node.one.get(KEYWORDS.get(kind, ""))
    if child is None or child is store.always:
        return None
    found = [_own(node, kind, ()), *_in_place(node, kind, store, ())]
    always = _together(one for one in found if not one.given)
    rest = [one for one in found if one.given and always.with_(one) != always]
    conditions = list(dict.fromkeys(_positive(item) for one in rest for item in one.given))
    if len(conditions) > _MOST_CONDITIONS:
        about = f"{KEYWORDS[kind]} beside many subschemas {node.number}"
        return unit(Atom(op=Op.OPAQUE, name=about))
    accepted: list[Alternative] = []
    refused: list[Alternative] = []
    for signs in product((True, False), repeat=len(conditions)):
        case = tuple(item if holds else item.opposite for item, holds in zip(conditions, signs, strict=True))
        evaluated = always.with_(_together(one for one in rest if set(one.given) <= set(case)))
        if evaluated.everything:
            accepted.append(case)
            continue
        left_over = _left_over(evaluated, child, kind, store)
        accepted.append((*case, left_over))
        refused.append((*case, left_over.opposite))
    return [tuple(accepted)], refused


def _together(found: Iterator[_Evaluated]) -> _Evaluated:
    whole = _Evaluated()
    for one in found:
        whole = whole.with_(one)
    return whole


def _left_over(evaluated: _Evaluated, child: Node, kind: Kind, store: Store) -> Atom:
    """Return the atom that every member or item that is not evaluated obeys the subschema."""
    if kind == Kind.OBJECT:
        literal = Literal(child, holds=True)
        return Atom(op=Op.OTHERS, names=evaluated.names, patterns=evaluated.patterns, literal=literal)
    branches = sorted({*evaluated.some, child}, key=lambda node: node.number)
    either = child if len(branches) == 1 else store.make(Node(0, many={"anyOf": tuple(branches)}))
    return Atom(op=Op.ITEMS_FROM, count=evaluated.prefix, literal=Literal(either, holds=True))


def _own(node: Node, kind: Kind, given: tuple[Item, ...]) -> _Evaluated:
    """Return what the keywords of the schema itself evaluate."""
    if kind == Kind.OBJECT:
        return _Evaluated(
            given,
            names=frozenset(node.named.get("properties", {})),
            patterns=frozenset(node.named.get("patternProperties", {})),
            everything="additionalProperties" in node.one,
        )
    return _Evaluated(
        given,
        prefix=len(node.many.get("prefixItems", ())),
        some=frozenset({node.one["contains"]} if "contains" in node.one else ()),
        everything="items" in node.one,
    )


def _in_place(node: Node, kind: Kind, store: Store, given: tuple[Item, ...]) -> Iterator[_Evaluated]:
    """Yield what each subschema for the same value evaluates; `not` evaluates nothing."""
    for child in node.many.get("allOf", ()):
        yield from _below(child, kind, store, given)
    for word in ("anyOf", "oneOf"):
        for branch in node.many.get(word, ()):
            yield from _below(branch, kind, store, (*given, Literal(branch, holds=True)))
    if "if" in node.one:
        condition = node.one["if"]
        for word, holds in (("if", True), ("then", True), ("else", False)):
            if word in node.one:
                yield from _below(node.one[word], kind, store, (*given, Literal(condition, holds=holds)))
    for name, child in node.named.get("dependentSchemas", {}).items() if kind == Kind.OBJECT else ():
        yield from _below(child, kind, store, (*given, Atom(op=Op.PRESENT, name=name)))


def _below(node: Node, kind: Kind, store: Store, given: tuple[Item, ...]) -> Iterator[_Evaluated]:
    node = store.target(node)
    if KEYWORDS[kind] in node.one:
        yield _Evaluated(given, everything=True)
    yield _own(node, kind, given)
    yield from _in_place(node, kind, store, given)


def _positive(item: Item) -> Item:
    return Literal(item.node, holds=True) if isinstance(item, Literal) else item
