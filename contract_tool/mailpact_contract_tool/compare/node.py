"""Represents schemas as nodes: a node holds the keywords that decide about documents, and equal schemas share a node.

Descriptions and other annotations are left out, `false` is an empty list of types, and an enumeration is a set. A
keyword that is not interpreted is kept as text, and the text only tells that two schemas are equal. Two nodes of one
store are the same object if and only if their schemas are equal.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar, cast

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.deadline import Deadline
from mailpact_contract_tool.compare.draft import Schema

_T = TypeVar("_T")


class Kind(StrEnum):
    """The kinds of JSON values; numbers are divided into integers (1.0 is an integer) and fractions."""

    STRING = "string"
    INTEGER = "integer"
    OBJECT = "object"
    ARRAY = "array"
    BOOLEAN = "boolean"
    NULL = "null"
    FRACTION = "fraction"


NUMBERS = (Kind.INTEGER, Kind.FRACTION)

ONE = (
    *("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "patternProperties", "dependentSchemas")
PLAIN = (
    *("type", "enum", "const", "required", "dependentRequired", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems", "minContains", "maxContains"),
    *("minProperties", "maxProperties"),
)
OUTSIDE = ("$dynamicRef", "$recursiveRef", "additionalItems", "dependencies")
"""Keywords that some engines evaluate and that are not interpreted here. All except the first are of older drafts."""
DECIDING = frozenset({*PLAIN, *ONE, *MANY, *NAMED, *OUTSIDE, "$ref"})
"""All keywords that decide about documents. All other keywords are annotations."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One schema. `reference` names a recursive definition; all other references are resolved."""

    number: int
    plain: Mapping[str, JsonValue] = field(default_factory=dict)
    one: Mapping[str, "Node"] = field(default_factory=dict)
    many: Mapping[str, tuple["Node", ...]] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, "Node"]] = field(default_factory=dict)
    outside: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""

    def __hash__(self) -> int:
        return self.number

    def integer(self, keyword: str, default: int = 0) -> int:
        """Return the value of a keyword that is a number of characters, items or members."""
        return int(cast(float, self.plain.get(keyword, default)))

    @property
    def only_values(self) -> bool:
        """Return whether `enum` or `const` is the only keyword of the schema."""
        return [*self.plain] in (["enum"], ["const"]) and not (
            self.one or self.many or self.named or self.outside
        )

    @property
    def lists(self) -> list[list[JsonValue]]:
        """Return the values of `const` and the values of `enum`, each as a list, if the schema has the keyword."""
        constant = [[self.plain["const"]]] if "const" in self.plain else []
        return [*constant, cast(list[JsonValue], self.plain["enum"])] if "enum" in self.plain else constant

    def names(self, keyword: str) -> tuple[str, ...]:
        """Return the value of a keyword that is a list of names."""
        return tuple(cast(list[str], self.plain.get(keyword, [])))


class Store:
    """Makes nodes, each different node once; `definitions` are the recursive definitions by their names.

    Every part of a comparison has the store, so the store also holds the deadline.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._nodes: dict[tuple[object, ...], Node] = {}
        self.definitions: dict[str, Node] = {}
        self.always = self.make(Node(0))
        self.never = self.make(Node(0, {"type": []}))
        self.text = self.make(Node(0, {"type": "string"}))

    @property
    def size(self) -> int:
        """Return the number of different nodes."""
        return len(self._nodes)

    def make(self, draft: Node) -> Node:
        """Return the only node that equals the draft; raises OutOfTime."""
        self.deadline.check()
        key = (
            canonical(dict(draft.plain)),
            tuple(sorted((word, node.number) for word, node in draft.one.items())),
            tuple(sorted((word, *(node.number for node in nodes)) for word, nodes in draft.many.items())),
            tuple(sorted((word, _numbers(nodes)) for word, nodes in draft.named.items())),
            tuple(sorted(draft.outside.items())),
            draft.reference,
        )
        if key not in self._nodes:
            self._nodes[key] = replace(draft, number=len(self._nodes))
        return self._nodes[key]

    def values(self, values: Iterable[JsonValue]) -> Node:
        """Return the node that accepts exactly these values."""
        return self.make(Node(0, {"enum": list(values)}))

    def matching(self, pattern: str) -> Node:
        """Return the node that accepts the strings that match a pattern, and every other kind of value."""
        return self.make(Node(0, {"pattern": pattern}))

    def target(self, node: Node) -> Node:
        """Follow references to a node without a reference; an endless circle was refused when the document was read."""
        while node.reference:
            node = self.definitions[node.reference]
        return node

    def taking(self, node: Node, other: Node, *keywords: str) -> Node:
        """Return the node with the other node's values of these keywords.

        None of the keywords holds several subschemas.
        """

        def mixed(own: Mapping[str, _T], others: Mapping[str, _T]) -> dict[str, _T]:
            kept = {word: value for word, value in own.items() if word not in keywords}
            return kept | {word: others[word] for word in keywords if word in others}

        return self.make(
            replace(
                node,
                plain=mixed(node.plain, other.plain),
                one=mixed(node.one, other.one),
                outside=mixed(node.outside, other.outside),
            )
        )

    def with_values(self, node: Node, values: Iterable[JsonValue]) -> Node:
        """Return the node with an `enum` of exactly these values."""
        kept = {word: value for word, value in node.plain.items() if word not in ("enum", "const")}
        return self.make(replace(node, plain={**kept, "enum": list(values)}))

    def with_one(self, node: Node, keyword: str, child: Node | None) -> Node:
        """Return the node with this subschema, or without the keyword if the subschema is None."""
        others = {word: other for word, other in node.one.items() if word != keyword}
        return self.make(replace(node, one=others if child is None else {**others, keyword: child}))

    def with_many(self, node: Node, keyword: str, children: Iterable[Node]) -> Node:
        """Return the node with this list of subschemas, or without the keyword if the list is empty."""
        others = {word: other for word, other in node.many.items() if word != keyword}
        listed = tuple(children)
        return self.make(replace(node, many={**others, keyword: listed} if listed else others))

    def with_named(self, node: Node, keyword: str, name: str, child: Node | None) -> Node:
        """Return the node with this named subschema, or without the name if the subschema is None."""
        members = {word: other for word, other in node.named.get(keyword, {}).items() if word != name}
        if child is not None:
            members[name] = child
        return self.make(replace(node, named={**node.named, keyword: members}))


def _numbers(nodes: Mapping[str, Node]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, node.number) for name, node in nodes.items()))


def kind_of(value: JsonValue) -> Kind:
    """Return the kind of a value."""
    match value:
        case None:
            return Kind.NULL
        case bool():
            return Kind.BOOLEAN
        case int():
            return Kind.INTEGER
        case float():
            return Kind.INTEGER if value.is_integer() else Kind.FRACTION
        case str():
            return Kind.STRING
        case list():
            return Kind.ARRAY
        case dict():
            return Kind.OBJECT


def plainest(value: JsonValue) -> JsonValue:
    """Return the value with all integers as `int`, because 1 and 1.0 are the same JSON value."""
    match value:
        case bool():
            return value
        case float() if value.is_integer():
            return int(value)
        case list():
            return [plainest(item) for item in value]
        case dict():
            return {name: plainest(member) for name, member in value.items()}
        case _:
            return value


def canonical(value: JsonValue) -> str:
    """Return a text that two values share if and only if they are equal in JSON."""
    return json.dumps(plainest(value), sort_keys=True, ensure_ascii=True)


def written(node: Node, store: Store) -> Schema | None:
    """Return the node as a schema again; None if the node has a keyword that is not interpreted."""
    try:
        schema = _written(node)
        numbered = (
            {name: _written(one) for name, one in store.definitions.items()}
            if '"$ref"' in json.dumps(schema)
            else {}
        )
    except ValueError:
        return None
    if isinstance(schema, bool) or not numbered:
        return schema
    return {**schema, "$defs": cast(JsonValue, {_reference(name): one for name, one in numbered.items()})}


def _reference(name: str) -> str:
    return name.encode().hex()


def _written(node: Node) -> Schema:
    if node.outside:
        raise ValueError("a keyword is not understood")
    if node.reference:
        return {"$ref": f"#/$defs/{_reference(node.reference)}"}
    if node.plain.get("type") == []:
        return False
    return {
        **node.plain,
        **{word: _written(child) for word, child in node.one.items()},
        **{word: [_written(child) for child in children] for word, children in node.many.items()},
        **{
            word: {name: _written(child) for name, child in members.items()}
            for word, members in node.named.items()
        },
    }
