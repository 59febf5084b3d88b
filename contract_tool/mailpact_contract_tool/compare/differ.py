"""Walks through two schemas side by side and yields every difference as an edit.

The walk follows references, so a schema that moved into `$defs` is no difference. A pair of schemas is compared once,
so recursion ends. Equal branches of `anyOf`, `oneOf` and `allOf` are paired first, whatever their order; the remaining
branches are paired in their order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from mailpact.contracts.pointer import escaped
from mailpact_contract_tool.compare.document import Document, Place
from mailpact_contract_tool.compare.edits import Edit, Pair, PlacedSchema, Wrap, plain_edits
from mailpact_contract_tool.compare.node import Node, Store
from mailpact_contract_tool.compare.rules import ChangeRule

_BRANCHES = {
    "allOf": (ChangeRule.ALLOF_BRANCH_ADDED, ChangeRule.ALLOF_BRANCH_REMOVED),
    "anyOf": (ChangeRule.ANYOF_BRANCH_ADDED, ChangeRule.ANYOF_BRANCH_REMOVED),
    "oneOf": (ChangeRule.ONEOF_BRANCH_ADDED, ChangeRule.ONEOF_BRANCH_REMOVED),
    "prefixItems": (ChangeRule.PREFIX_ITEM_ADDED, ChangeRule.PREFIX_ITEM_REMOVED),
}
_CHILDREN = {
    "items": (ChangeRule.ITEMS_ADDED, ChangeRule.ITEMS_REMOVED),
    "contains": (ChangeRule.CONTAINS_CHANGED, ChangeRule.CONTAINS_CHANGED),
    "not": (ChangeRule.NOT_ADDED, ChangeRule.NOT_REMOVED),
    "propertyNames": (ChangeRule.PROPERTY_NAMES_CHANGED, ChangeRule.PROPERTY_NAMES_CHANGED),
    "unevaluatedProperties": (ChangeRule.KEYWORD_OUTSIDE_SUBSET, ChangeRule.KEYWORD_OUTSIDE_SUBSET),
    "unevaluatedItems": (ChangeRule.KEYWORD_OUTSIDE_SUBSET, ChangeRule.KEYWORD_OUTSIDE_SUBSET),
}
_WHOLE = {
    "patternProperties": ChangeRule.KEYWORD_OUTSIDE_SUBSET,
    "dependentSchemas": ChangeRule.DEPENDENT_SCHEMA_CHANGED,
}


def edits(old: Document, new: Document, store: Store) -> Iterator[Edit]:
    """Yield all edits between the old and the new schema."""
    return _Walk(old, new, store).between(old.root, new.root, lambda node: node, lambda node: node)


class _Walk:
    def __init__(self, old: Document, new: Document, store: Store) -> None:
        self._old, self._new, self._store = old, new, store
        self._seen: set[tuple[str, str]] = set()

    def between(self, old: Place, new: Place, wrap_old: Wrap, wrap_new: Wrap) -> Iterator[Edit]:
        """Yield the edits between two schemas that correspond to each other."""
        old, new = self._old.follow(old), self._new.follow(new)
        if (old.pointer, new.pointer) in self._seen:
            return
        self._seen.add((old.pointer, new.pointer))
        pair = Pair(
            PlacedSchema(old, self._old.node(old), wrap_old),
            PlacedSchema(new, self._new.node(new), wrap_new),
            self._store,
        )
        if old.raw is False or new.raw is False:
            yield from self._forbidden(pair)
            return
        yield from plain_edits(pair)
        yield from self._properties(pair)
        for word, rule in _WHOLE.items():
            yield from self._named(pair, word, rule)
        yield from self._additional(pair)
        for word in _CHILDREN:
            yield from self._child(pair, word)
        for word in _BRANCHES:
            yield from self._branches(pair, word)
        yield from self._conditional(pair)

    def _forbidden(self, pair: Pair) -> Iterator[Edit]:
        old, new = pair.old, pair.new
        if old.node is not new.node:
            rule = ChangeRule.SCHEMA_CLOSED if new.place.raw is False else ChangeRule.SCHEMA_OPENED
            yield Edit(rule, new.place.pointer, old.wrap(new.node), new.wrap(old.node))

    def _properties(self, pair: Pair) -> Iterator[Edit]:
        old, new = (placed.node.named.get("properties", {}) for placed in (pair.old, pair.new))
        for name in sorted({*old, *new}):
            if name in old and name in new:
                put = partial(self._put_named, "properties", name)
                yield from self.between(
                    pair.old.place.below("properties", name),
                    pair.new.place.below("properties", name),
                    put(pair.old),
                    put(pair.new),
                )
            else:
                yield self._member(pair, name)
        yield from self._required(pair)

    def _put_named(self, word: str, name: str, placed: PlacedSchema) -> Wrap:
        return lambda child: placed.wrap(self._store.with_named(placed.node, word, name, child))

    def _member(self, pair: Pair, name: str) -> Edit:
        """Return the edit of a member that only one side describes, with the `required` that comes or goes with it."""
        old, new = pair.old.node, pair.new.node
        added = name in new.named.get("properties", {})
        with_required = _comes_with_member(pair, name)
        closed = self._is_closed(old if added else new)
        if not added:
            rule = ChangeRule.PROPERTY_REMOVED_CLOSED if closed else ChangeRule.PROPERTY_REMOVED_OPEN
        elif with_required:
            rule = ChangeRule.PROPERTY_ADDED_REQUIRED
        else:
            rule = (
                ChangeRule.PROPERTY_ADDED_OPTIONAL_CLOSED
                if closed
                else ChangeRule.PROPERTY_ADDED_OPTIONAL_OPEN_TYPED
            )
        applied = self._store.with_named(old, "properties", name, new.named.get("properties", {}).get(name))
        undone = self._store.with_named(new, "properties", name, old.named.get("properties", {}).get(name))
        if with_required:
            applied, undone = self._toggled(applied, name), self._toggled(undone, name)
        placed = pair.new if added else pair.old
        pointer = f"{placed.place.pointer}/properties/{escaped(name)}"
        return Edit(rule, pointer, pair.old.wrap(applied), pair.new.wrap(undone))

    def _toggled(self, node: Node, name: str) -> Node:
        """Return the node with the name added to `required`, or removed from `required`."""
        names = {*node.names("required")} ^ {name}
        return self._store.make(replace(node, plain={**node.plain, "required": [*sorted(names)]}))

    def _is_closed(self, node: Node) -> bool:
        return node.one.get("additionalProperties") is self._store.never

    def _required(self, pair: Pair) -> Iterator[Edit]:
        old, new = pair.old.node, pair.new.node
        for name in sorted({*old.names("required")} ^ {*new.names("required")}):
            if not _comes_with_member(pair, name):
                added = name in new.names("required")
                placed, rule = (
                    (pair.new, ChangeRule.REQUIRED_ADDED)
                    if added
                    else (pair.old, ChangeRule.REQUIRED_REMOVED)
                )
                pointer = f"{placed.place.pointer}/required/{placed.node.names('required').index(name)}"
                applied, undone = self._toggled(old, name), self._toggled(new, name)
                yield Edit(rule, pointer, pair.old.wrap(applied), pair.new.wrap(undone))

    def _additional(self, pair: Pair) -> Iterator[Edit]:
        word = "additionalProperties"
        old, new = pair.old.node, pair.new.node
        if self._is_closed(old) == self._is_closed(new):
            yield from self._child_walk(pair, word)
        else:
            closed = self._is_closed(new)
            rule = (
                ChangeRule.ADDITIONAL_PROPERTIES_CLOSED if closed else ChangeRule.ADDITIONAL_PROPERTIES_OPENED
            )
            yield pair.keywords(rule, word)

    def _child(self, pair: Pair, word: str) -> Iterator[Edit]:
        added, removed = _CHILDREN[word]
        here = [word in placed.node.one for placed in (pair.old, pair.new)]
        if all(here):
            yield from self._child_walk(pair, word)
        elif any(here):
            yield pair.keywords(added if here[1] else removed, word)

    def _child_walk(self, pair: Pair, word: str) -> Iterator[Edit]:
        """Walk into a subschema; a missing subschema accepts everything."""

        def below(placed: PlacedSchema) -> Place:
            return (
                placed.place.below(word) if placed.has(word) else Place(f"{placed.place.pointer}/{word}", {})
            )

        def put(placed: PlacedSchema) -> Wrap:
            return lambda child: placed.wrap(self._store.with_one(placed.node, word, child))

        if pair.old.has(word) or pair.new.has(word):
            yield from self.between(below(pair.old), below(pair.new), put(pair.old), put(pair.new))

    def _named(self, pair: Pair, word: str, rule: ChangeRule) -> Iterator[Edit]:
        """Compare subschemas by their names; a changed subschema is one edit."""
        old, new = (placed.node.named.get(word, {}) for placed in (pair.old, pair.new))
        for name in sorted({*old, *new}):
            if old.get(name) is not new.get(name):
                yield pair.edit(
                    rule,
                    f"{word}/{escaped(name)}" if name in new or not pair.new.has(word) else word,
                    self._store.with_named(pair.old.node, word, name, new.get(name)),
                    self._store.with_named(pair.new.node, word, name, old.get(name)),
                )

    def _branches(self, pair: Pair, word: str) -> Iterator[Edit]:
        """Compare lists of branches: the branches of `prefixItems` by position, other branches by equality first."""
        old, new = self._listed(pair.old, self._old, word), self._listed(pair.new, self._new, word)
        old_nodes, new_nodes = (list(placed.node.many.get(word, ())) for placed in (pair.old, pair.new))
        matched = _matched(old_nodes, new_nodes, by_place=word == "prefixItems")
        for left, right in matched:
            yield from self.between(
                old[left],
                new[right],
                self._put_branch(pair.old, word, left),
                self._put_branch(pair.new, word, right),
            )
        added, removed = _BRANCHES[word]

        def edit(rule: ChangeRule, place: Place, applied: list[Node], undone: list[Node]) -> Edit:
            before = self._store.with_many(pair.old.node, word, applied)
            after = self._store.with_many(pair.new.node, word, undone)
            return Edit(rule, place.pointer, pair.old.wrap(before), pair.new.wrap(after))

        for left in sorted(set(range(len(old))) - {left for left, _ in matched}):
            applied, undone = _moved(old_nodes, new_nodes, left)
            yield edit(removed, old[left], applied, undone)
        for right in sorted(set(range(len(new))) - {right for _, right in matched}):
            undone, applied = _moved(new_nodes, old_nodes, right)
            yield edit(added, new[right], applied, undone)

    def _listed(self, placed: PlacedSchema, document: Document, word: str) -> list[Place]:
        """Return the places of the branches; a `$ref` beside other keywords counts as a branch of `allOf`."""
        count = len(placed.node.many.get(word, ())) - (word == "allOf" and placed.has("$ref"))
        places = [placed.place.below(word, index) for index in range(count)]
        if word == "allOf" and placed.has("$ref"):
            places.insert(0, document.target(placed.place))
        return places

    def _put_branch(self, placed: PlacedSchema, word: str, index: int) -> Wrap:
        def put(child: Node) -> Node:
            nodes = list(placed.node.many[word])
            nodes[index] = child
            return placed.wrap(self._store.with_many(placed.node, word, nodes))

        return put

    def _conditional(self, pair: Pair) -> Iterator[Edit]:
        old, new = pair.old.node.one, pair.new.node.one
        changed = [word for word in ("if", "then", "else") if old.get(word) is not new.get(word)]
        if changed:
            yield pair.keywords(ChangeRule.CONDITIONAL_CHANGED, *changed)


def _comes_with_member(pair: Pair, name: str) -> bool:
    """Return whether only one side describes a member, and only this side requires it."""
    nodes = pair.old.node, pair.new.node
    described = [name in node.named.get("properties", {}) for node in nodes]
    return described[0] != described[1] and described == [name in node.names("required") for node in nodes]


def _moved(source: list[Node], target: list[Node], index: int) -> tuple[list[Node], list[Node]]:
    """Return both lists of branches after one branch of the source has gone to the end of the target."""
    return [*source[:index], *source[index + 1 :]], [*target, source[index]]


def _matched(old: Sequence[Node], new: Sequence[Node], *, by_place: bool) -> list[tuple[int, int]]:
    """Pair equal branches first; then pair the remaining branches in their order if both sides have equally many."""
    if by_place:
        return [(index, index) for index in range(min(len(old), len(new)))]
    pairs: list[tuple[int, int]] = []
    left = dict(enumerate(old))
    right = dict(enumerate(new))
    for index, node in enumerate(old):
        same = next((at for at, other in right.items() if other is node), None)
        if same is not None:
            pairs.append((index, same))
            del left[index], right[same]
    if len(left) == len(right):
        pairs += zip(left, right, strict=True)
    return pairs
