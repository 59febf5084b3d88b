"""Writes the demands of a schema on one kind of value as clauses.

All clauses must hold. A clause holds if one of its alternatives holds, and an alternative is a tuple of items that hold
together. An item is a literal (another schema accepts or refuses the same document) or an atom (a question that one
kind of value can answer directly, such as its length). A schema refuses a document if one of its keywords is broken, so
the refusal is one clause with an alternative for each keyword.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from fractions import Fraction
from typing import TypeAlias, cast

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.compare.node import NUMBERS, Kind, Node, Store, canonical, kind_of


class Op(StrEnum):
    """The question that an atom asks."""

    ONLY = auto()  # one of `values`
    EXCEPT = auto()  # none of `values`
    AT_LEAST = auto()  # a number, at least `bound`
    MORE = auto()  # a number, more than `bound`
    AT_MOST = auto()
    LESS = auto()
    MULTIPLE = auto()  # a multiple of the whole number `bound`
    NO_MULTIPLE = auto()
    SIZE_AT_LEAST = auto()  # characters, items or members, at least `count`
    SIZE_AT_MOST = auto()
    MATCHES = auto()  # the pattern `name` is found in the text
    MATCHES_NOT = auto()
    ITEM = auto()  # the item at `count`, if it exists, obeys `literal`
    ITEMS_FROM = auto()  # all items from `count` on obey `literal`
    SOME_ITEM_FROM = auto()  # at least one item from `count` on obeys `literal`
    HOLDS_AT_LEAST = auto()  # at least `count` items obey `literal`
    HOLDS_AT_MOST = auto()
    UNIQUE = auto()  # no two items are equal
    REPEATED = auto()  # two items are equal
    PRESENT = auto()  # there is a member `name`
    ABSENT = auto()
    MEMBER = auto()  # the member `name`, if it exists, obeys `literal`
    MATCHING = auto()  # all members whose names match the pattern `name` obey `literal`
    SOME_MATCHING = auto()  # at least one of these members obeys `literal`
    OTHERS = auto()  # all members not in `names` and matching none of `patterns` obey `literal`
    SOME_OTHER = auto()  # at least one of these members obeys `literal`
    NAMES = auto()  # all names obey `literal`
    SOME_NAME = auto()
    OPAQUE = auto()  # the constraint `name` is not interpreted; it holds
    OPAQUE_NOT = auto()  # the constraint `name` is not interpreted; it does not hold


@dataclass(frozen=True, slots=True)
class Literal:
    """A schema that accepts the document (`holds`) or refuses the document."""

    node: Node
    holds: bool

    @property
    def opposite(self) -> "Literal":
        """Return the literal that holds exactly when this literal does not hold."""
        return Literal(self.node, not self.holds)

    @property
    def key(self) -> tuple[int, bool]:
        """Return a key that sorts literals in the same order in every run."""
        return self.node.number, self.holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """One question to a value; `op` says which of the other fields are used."""

    op: Op
    count: int = 0
    bound: Fraction = Fraction(0)
    name: str = ""
    names: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    values: tuple[JsonValue, ...] = field(default=(), hash=False)
    literal: Literal | None = None

    @property
    def opposite(self) -> "Atom":
        """Return the atom that holds exactly when this atom does not hold; some atoms have none."""
        literal = None if self.literal is None else self.literal.opposite
        return replace(self, op=_OPPOSITES[self.op], literal=literal)

    @property
    def about(self) -> Literal:
        """Return the literal of an atom that has a literal."""
        assert self.literal is not None  # noqa: S101  # the operations with a literal are listed above
        return self.literal


Item: TypeAlias = Literal | Atom
Alternative: TypeAlias = tuple[Item, ...]
Clause: TypeAlias = tuple[Alternative, ...]

_PAIRS = (
    (Op.ONLY, Op.EXCEPT),
    (Op.AT_LEAST, Op.LESS),
    (Op.MORE, Op.AT_MOST),
    (Op.MULTIPLE, Op.NO_MULTIPLE),
    (Op.MATCHES, Op.MATCHES_NOT),
    (Op.ITEMS_FROM, Op.SOME_ITEM_FROM),
    (Op.UNIQUE, Op.REPEATED),
    (Op.PRESENT, Op.ABSENT),
    (Op.MATCHING, Op.SOME_MATCHING),
    (Op.OTHERS, Op.SOME_OTHER),
    (Op.NAMES, Op.SOME_NAME),
    (Op.OPAQUE, Op.OPAQUE_NOT),
)
_OPPOSITES = dict(_PAIRS) | {two: one for one, two in _PAIRS}
_MOST_SINGLES = 40  # the most objects or arrays of one enumeration that are compared with a value one by one

TRUE: Alternative = ()
NEVER: Clause = ()

_SIZES = {
    "minLength": (Kind.STRING, Op.SIZE_AT_LEAST),
    "maxLength": (Kind.STRING, Op.SIZE_AT_MOST),
    "minItems": (Kind.ARRAY, Op.SIZE_AT_LEAST),
    "maxItems": (Kind.ARRAY, Op.SIZE_AT_MOST),
    "minProperties": (Kind.OBJECT, Op.SIZE_AT_LEAST),
    "maxProperties": (Kind.OBJECT, Op.SIZE_AT_MOST),
}
_BOUNDS = {
    "minimum": Op.AT_LEAST,
    "exclusiveMinimum": Op.MORE,
    "maximum": Op.AT_MOST,
    "exclusiveMaximum": Op.LESS,
}


Disjoint: TypeAlias = Callable[[Node, Node], bool]
"""Returns whether there is a proof that no document obeys both."""


Keyword: TypeAlias = tuple[list[Clause], list[Alternative]]
"""One keyword: the clauses if the keyword holds, and the alternatives if the keyword is broken."""


def keywords(node: Node, kind: Kind, store: Store, disjoint: Disjoint) -> Iterator[Keyword]:
    """Yield every keyword that restricts this kind of value, except `unevaluatedProperties` and `unevaluatedItems`."""
    yield from _types_and_values(node, kind, store)
    yield from _applicators(node, kind, store, disjoint)
    for word, text in node.outside.items():
        about = f"{word} {node.number} {text}"  # other keywords of the same schema can change its meaning
        yield unit(Atom(op=Op.OPAQUE, name=about))
    for word, (sized, op) in _SIZES.items():
        if sized == kind and word in node.plain:
            yield _size(op, node.integer(word))
    if kind in NUMBERS:
        yield from _numbers(node)
    elif kind == Kind.STRING and "pattern" in node.plain:
        yield unit(Atom(op=Op.MATCHES, name=str(node.plain["pattern"])))
    elif kind == Kind.ARRAY:
        yield from _arrays(node)
    elif kind == Kind.OBJECT:
        yield from _objects(node, store)


def unit(item: Item) -> Keyword:
    """Return a keyword that holds by one item and is broken by its opposite."""
    return [((item,),)], [(item.opposite,)]


def _size(op: Op, count: int) -> Keyword:
    if op == Op.SIZE_AT_MOST:
        refused: list[Alternative] = [(Atom(op=Op.SIZE_AT_LEAST, count=count + 1),)]
    else:
        refused = [(Atom(op=Op.SIZE_AT_MOST, count=count - 1),)] if count > 0 else []
    return [((Atom(op=op, count=count),),)], refused


def _types_and_values(node: Node, kind: Kind, store: Store) -> Iterator[Keyword]:
    if "type" in node.plain:
        yield ([], []) if kind in kinds(node.plain["type"]) else ([NEVER], [TRUE])
    if "const" in node.plain:
        yield _values([node.plain["const"]], kind, store)
    if "enum" in node.plain:
        yield _values(cast(list[JsonValue], node.plain["enum"]), kind, store)


def kinds(types: JsonValue) -> frozenset[Kind]:
    """Return the kinds that the keyword `type` names."""
    found: set[Kind] = set()
    for name in cast(list[str], types if isinstance(types, list) else [types]):
        found |= set(NUMBERS) if name == "number" else {Kind(name)}
    return frozenset(found)


def _values(values: list[JsonValue], kind: Kind, store: Store) -> Keyword:
    fitting = tuple(value for value in values if kind_of(value) == kind)
    if not fitting:
        return [NEVER], [TRUE]
    if kind not in (Kind.ARRAY, Kind.OBJECT):
        return unit(Atom(op=Op.ONLY, values=fitting))
    if len(fitting) > 1:
        singles = [Literal(store.values([value]), holds=True) for value in fitting]
        refused: list[Alternative] = [(Atom(op=Op.SIZE_AT_LEAST, count=1 + max(map(_size_of, fitting))),)]
        if len(fitting) <= _MOST_SINGLES:
            refused.append(tuple(single.opposite for single in singles))
        else:
            refused.append((Atom(op=Op.OPAQUE_NOT, name=f"an enumeration of {len(fitting)} values"),))
        return [tuple((single,) for single in singles)], refused
    return unit(Literal(_written_out(fitting[0], store), holds=True))


def _size_of(value: JsonValue) -> int:
    return len(cast(list[JsonValue], value))  # of an object as well


def _written_out(value: JsonValue, store: Store) -> Node:
    """Return the schema of exactly this array or object, with a subschema for each item or member."""
    if isinstance(value, list):
        sizes: dict[str, JsonValue] = {"minItems": len(value), "maxItems": len(value)}
        items = {"prefixItems": tuple(store.values([item]) for item in value)} if value else {}
        return store.make(Node(0, sizes, many=items))
    members = {name: store.values([member]) for name, member in cast(JsonObject, value).items()}
    closed = {"additionalProperties": store.never}
    return store.make(Node(0, {"required": [*sorted(members)]}, closed, named={"properties": members}))


def _wrong_item(index: int, literal: Literal) -> Alternative:
    return Atom(op=Op.SIZE_AT_LEAST, count=index + 1), Atom(op=Op.ITEM, count=index, literal=literal)


def _wrong_member(name: str, literal: Literal) -> Alternative:
    return Atom(op=Op.PRESENT, name=name), Atom(op=Op.MEMBER, name=name, literal=literal)


def _applicators(node: Node, kind: Kind, store: Store, disjoint: Disjoint) -> Iterator[Keyword]:
    for child in node.many.get("allOf", ()):
        yield unit(Literal(child, holds=True))
    if branches := node.many.get("anyOf"):
        yield (
            [tuple((Literal(branch, holds=True),) for branch in branches)],
            [tuple(Literal(branch, holds=False) for branch in branches)],
        )
    if branches := node.many.get("oneOf"):
        values = _single_values(branches)
        yield _values(values, kind, store) if values is not None else _one_of(branches, disjoint)
    if "not" in node.one:
        yield unit(Literal(node.one["not"], holds=False))
    if "if" in node.one:
        yield _conditional(node, store)


def _single_values(branches: tuple[Node, ...]) -> list[JsonValue] | None:
    """Return the values that exactly one branch lists; None if a branch is more than a list of values."""
    if any(not branch.only_values for branch in branches):
        return None
    found = [value for branch in branches for value in branch.lists[0]]
    times = Counter(map(canonical, found))
    return [value for value in found if times[canonical(value)] == 1]


def _one_of(branches: tuple[Node, ...], disjoint: Disjoint) -> Keyword:
    """Return the keyword `oneOf`.

    Two branches that exclude each other need no clause that only one of them holds.
    """
    indices = range(len(branches))
    both = {(a, b) for a in indices for b in indices if a < b and not disjoint(branches[a], branches[b])}
    accepted = [
        tuple(
            Literal(branches[other], holds=other == index)
            for other in indices
            if other == index or (min(index, other), max(index, other)) in both
        )
        for index in indices
    ]
    refused: list[Alternative] = [tuple(Literal(branch, holds=False) for branch in branches)]
    refused += [(Literal(branches[a], holds=True), Literal(branches[b], holds=True)) for a, b in sorted(both)]
    return [tuple(accepted)], refused


def _conditional(node: Node, store: Store) -> Keyword:
    cases = [
        (Literal(node.one["if"], holds), Literal(node.one.get(word, store.always), holds=True))
        for holds, word in ((True, "then"), (False, "else"))
    ]
    return [tuple(cases)], [(asked, demanded.opposite) for asked, demanded in cases]


def _numbers(node: Node) -> Iterator[Keyword]:
    for word, op in _BOUNDS.items():
        if word in node.plain:
            yield unit(Atom(op=op, bound=Fraction(cast(float, node.plain[word]))))
    if "multipleOf" in node.plain:
        factor = cast(float, node.plain["multipleOf"])
        if isinstance(factor, int):
            yield unit(Atom(op=Op.MULTIPLE, bound=Fraction(factor)))
        else:  # engines calculate with doubles and differ in their results
            yield unit(Atom(op=Op.OPAQUE, name=f"multipleOf {canonical(factor)}"))


def _arrays(node: Node) -> Iterator[Keyword]:
    prefix = node.many.get("prefixItems", ())
    for index, child in enumerate(prefix):
        literal = Literal(child, holds=True)
        yield [((Atom(op=Op.ITEM, count=index, literal=literal),),)], [_wrong_item(index, literal.opposite)]
    if "items" in node.one:
        yield unit(Atom(op=Op.ITEMS_FROM, count=len(prefix), literal=Literal(node.one["items"], holds=True)))
    if node.plain.get("uniqueItems") is True:
        yield unit(Atom(op=Op.UNIQUE))
    if "contains" in node.one:
        yield from _contains(node)


def _contains(node: Node) -> Iterator[Keyword]:
    def holds(op: Op, count: int) -> Alternative:
        return (Atom(op=op, count=count, literal=Literal(node.one["contains"], holds=True)),)

    least = node.integer("minContains", 1)
    if least > 0:
        yield [(holds(Op.HOLDS_AT_LEAST, least),)], [holds(Op.HOLDS_AT_MOST, least - 1)]
    if "maxContains" in node.plain:
        most = node.integer("maxContains")
        yield [(holds(Op.HOLDS_AT_MOST, most),)], [holds(Op.HOLDS_AT_LEAST, most + 1)]


def _objects(node: Node, store: Store) -> Iterator[Keyword]:
    properties = node.named.get("properties", {})
    for name in node.names("required"):
        yield unit(Atom(op=Op.PRESENT, name=name))
    for name, child in sorted(properties.items()):
        literal = Literal(child, holds=True)
        yield [((Atom(op=Op.MEMBER, name=name, literal=literal),),)], [_wrong_member(name, literal.opposite)]
    patterns = node.named.get("patternProperties", {})
    for pattern, child in sorted(patterns.items()):
        yield unit(Atom(op=Op.MATCHING, name=pattern, literal=Literal(child, holds=True)))
    if "additionalProperties" in node.one:
        literal = Literal(node.one["additionalProperties"], holds=True)
        names, others = frozenset(properties), frozenset(patterns)
        yield unit(Atom(op=Op.OTHERS, names=names, patterns=others, literal=literal))
    if "propertyNames" in node.one:
        yield unit(Atom(op=Op.NAMES, literal=Literal(node.one["propertyNames"], holds=True)))
    yield from _dependents(node, store)


def _dependents(node: Node, store: Store) -> Iterator[Keyword]:
    required = cast(dict[str, JsonValue], node.plain.get("dependentRequired", {}))
    children = [(name, store.make(Node(0, {"required": names}))) for name, names in sorted(required.items())]
    for name, child in (*children, *sorted(node.named.get("dependentSchemas", {}).items())):
        present, demanded = Atom(op=Op.PRESENT, name=name), Literal(child, holds=True)
        yield [((present.opposite,), (present, demanded))], [(present, demanded.opposite)]
