"""Reads a schema document into nodes, or raises SchemaError with the place at which the document cannot be read.

Refused are documents of another draft, references that lead nowhere, out of the document or in an endless circle, and
documents that are too deep or too large to be compared in bounded time.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact.contracts.pointer import escaped
from mailpact_contract_tool.compare.circles import in_circles
from mailpact_contract_tool.compare.draft import DRAFT, Schema, metaschema_fault
from mailpact_contract_tool.compare.node import (
    DECIDING,
    MANY,
    NAMED,
    ONE,
    OUTSIDE,
    PLAIN,
    Node,
    Store,
    canonical,
    plainest,
)
from mailpact_contract_tool.folder.documents import unescaped

_MOST_NODES = 20_000
_DEEPEST = 64
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "$ref")


class SchemaError(ValueError):
    """A schema cannot be compared; `side` is "old" or "new", and `pointer` is the place of the fault."""

    def __init__(self, pointer: str, fault: str, *, side: str = "", file: str = "") -> None:
        place = f"at {pointer or 'the top'}"
        super().__init__(f"{file}: {place}: {fault}" if file else f"{place}: {fault}")
        self.side = side
        self.pointer = pointer
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Place:
    """A schema in its document: its pointer and its JSON value."""

    pointer: str
    raw: JsonValue

    @property
    def keywords(self) -> JsonObject:
        """Return the keywords of the schema; true and false have no keywords."""
        return self.raw if isinstance(self.raw, dict) else {}

    def below(self, *steps: str | int) -> "Place":
        """Return the schema at that path below this schema."""
        raw, pointer = self.raw, self.pointer
        for step in steps:
            raw = raw[step]  # type: ignore[index]  # each step exists in the schema
            pointer += "/" + escaped(str(step))
        return Place(pointer, raw)

    def children(self) -> Iterator[tuple[tuple[str | int, ...], "Place"]]:
        """Yield each schema directly inside this schema, with the path to it."""
        for word, value in self.keywords.items():
            if word in ONE:
                yield (word,), self.below(word)
            elif word in MANY:
                for index in range(len(cast(list[JsonValue], value))):
                    yield (word, index), self.below(word, index)
            elif word in NAMED:
                for name in cast(JsonObject, value):
                    yield (word, name), self.below(word, name)


class Document:
    """One schema document, read into nodes of a store; two documents may share a store. Raises SchemaError."""

    def __init__(self, raw: Schema, store: Store, side: str) -> None:
        _check_size(raw)
        _check_draft(raw)
        _check_identifiers(Place("", raw))
        self.raw = raw
        self.root = Place("", raw)
        self._store = store
        self._side = side
        self._read: dict[str, Node] = {}
        self._targets = self._collect_targets()
        self._refuse_endless()
        self._recursive = frozenset(in_circles(self._targets))
        for pointer in sorted(self._recursive):
            store.definitions[side + pointer] = self.node(self.place(pointer))
        self.node(self.root)

    def place(self, pointer: str) -> Place:
        """Return the schema at a pointer; raises SchemaError if there is no schema."""
        raw: JsonValue = self.raw
        for step in pointer.split("/")[1:]:
            name = unescaped(step)
            if isinstance(raw, dict) and name in raw:
                raw = raw[name]
            elif isinstance(raw, list) and name.isascii() and name.isdigit() and int(name) < len(raw):
                raw = raw[int(name)]
            else:
                raise SchemaError(pointer, "a $ref points here, where the document has no value")
        if not isinstance(raw, dict | bool):
            raise SchemaError(pointer, "a $ref points here, where the value is not a schema")
        return Place(pointer, raw)

    def follow(self, place: Place) -> Place:
        """Follow references that have no other keyword beside them."""
        while _is_reference(place):
            place = self.target(place)
        return place

    def target(self, place: Place) -> Place:
        """Return the schema that this reference points to."""
        return self.place(self._pointer(place))

    def node(self, place: Place) -> Node:
        """Return the node of a schema."""
        if place.pointer not in self._read:
            self._read[place.pointer] = self._build(place)
        return self._read[place.pointer]

    def _build(self, place: Place) -> Node:
        if isinstance(place.raw, bool):
            return self._store.always if place.raw else self._store.never
        words = place.keywords
        if _is_reference(place):
            return self._referred(place)
        many = {
            word: tuple(
                self.node(place.below(word, index))
                for index in range(len(cast(list[JsonValue], words[word])))
            )
            for word in MANY
            if word in words
        }
        if "$ref" in words:
            many["allOf"] = (self._referred(place), *many.get("allOf", ()))
        node = Node(
            0,
            plain={word: _plain(word, words[word]) for word in PLAIN if word in words},
            one={word: self.node(place.below(word)) for word in ONE if word in words},
            many=many,
            named={
                word: {name: self.node(place.below(word, name)) for name in cast(JsonObject, words[word])}
                for word in NAMED
                if word in words
            },
            outside={word: self._text(words[word], word) for word in OUTSIDE if word in words},
        )
        return self._store.make(node)

    def _text(self, value: JsonValue, word: str) -> str:
        """Return an uninterpreted keyword as text.

        If the keyword refers to other schemas, the text contains the whole document, so that only equal documents are
        equal.
        """
        text = canonical(value)
        refers = word.startswith("$") or '"$' in text
        return text + canonical(self.raw) if refers else text

    def _referred(self, place: Place) -> Node:
        pointer = self._pointer(place)
        if pointer in self._recursive:
            return self._store.make(Node(0, reference=self._side + pointer))
        return self.node(self.place(pointer))

    def _pointer(self, place: Place) -> str:
        reference = str(place.keywords["$ref"])
        if reference in ("#", "") or reference.startswith("#/"):
            return unquote(reference[1:])
        raise SchemaError(
            f"{place.pointer}/$ref",
            f"{reference!r} points out of this file; only #/... within it is followed",
        )

    def _collect_targets(self) -> Mapping[str, frozenset[str]]:
        """Return, for each schema that a reference points to, the references inside that schema."""
        found: dict[str, frozenset[str]] = {}
        todo = ["", *self._references(self.root)]
        while todo:
            pointer = todo.pop()
            if pointer not in found:
                found[pointer] = frozenset(self._references(self.place(pointer)))
                todo += found[pointer]
        return found

    def _references(self, place: Place) -> list[str]:
        """Return the targets of all references in this schema; raises OutOfTime."""
        self._store.deadline.check()
        return [self._pointer(inner) for inner in _below(place) if "$ref" in inner.keywords]

    def _refuse_endless(self) -> None:
        """Refuse a definition that leads back to itself without looking into the document."""
        ways = {
            pointer: [
                self._pointer(inner)
                for inner in _below(self.place(pointer), _IN_PLACE)
                if "$ref" in inner.keywords
            ]
            for pointer in sorted(self._targets)
        }
        for pointer in in_circles(ways):
            raise SchemaError(pointer, "the schema refers to itself without end")


def _plain(word: str, value: JsonValue) -> JsonValue:
    """Return equal values in one form; the order and the repetitions of an enumeration have no meaning."""
    if word == "enum":
        listed = {canonical(item): plainest(item) for item in cast(list[JsonValue], value)}
        return [listed[text] for text in sorted(listed)]
    return plainest(value)


def _is_reference(place: Place) -> bool:
    """Return whether a schema has `$ref` as its only deciding keyword."""
    return [word for word in place.keywords if word in DECIDING] == ["$ref"]


def _below(place: Place, keywords: Collection[str] = DECIDING) -> Iterator[Place]:
    """Yield the schema, and each schema inside it that is reached by these keywords."""
    todo = [place]
    while todo:
        at = todo.pop()
        yield at
        todo += [child for path, child in at.children() if path[0] in keywords]


def _check_size(raw: JsonValue) -> None:
    """Refuse a document that would take too long, before any recursion begins."""
    count = 0
    todo: list[tuple[JsonValue, int]] = [(raw, 1)]
    while todo:
        value, depth = todo.pop()
        count += 1
        if count > _MOST_NODES:
            raise SchemaError("", f"the schema has more than {_MOST_NODES} values")
        if depth > _DEEPEST:
            raise SchemaError("", f"the schema is nested deeper than {_DEEPEST}")
        if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
            raise SchemaError("", "a number is too large for a double, or not a number")
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            todo += [(child, depth + 1) for child in inner]


def _check_identifiers(root: Place) -> None:
    for place in _below(root):
        if "$id" in place.keywords and place.pointer:
            raise SchemaError(
                place.pointer + "/$id", "only the top of a schema may have an $id in the portable subset"
            )


def _check_draft(raw: Schema) -> None:
    if isinstance(raw, bool):
        return
    if not isinstance(raw, dict):
        raise SchemaError("", "a schema is an object, true or false")
    named = raw.get("$schema", DRAFT)
    if named not in (DRAFT, DRAFT + "#"):
        raise SchemaError("/$schema", f"{named!r} is not draft 2020-12 ({DRAFT})")
    fault = metaschema_fault(raw)
    if fault is not None:
        pointer, keyword = fault
        raise SchemaError(pointer, f"not a schema of draft 2020-12: it breaks {keyword} of the metaschema")
