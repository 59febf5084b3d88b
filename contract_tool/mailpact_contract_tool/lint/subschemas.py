"""Walks through a schema and yields every subschema with its place.

Each keyword of the draft is in one of the tables below, so that a rule can tell subschemas from values. The parser
bounds the depth. The walk does not follow references; rules do.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact.contracts.pointer import escaped
from mailpact_contract_tool.compare.node import MANY, NAMED, ONE
from mailpact_contract_tool.folder.documents import object_at, unescaped
from mailpact_contract_tool.lint.rules import Fault, LintRule

ONE_SCHEMA = frozenset({*ONE, "contentSchema"})
NAMED_SCHEMAS = frozenset({*NAMED, "$defs"})
LISTED_SCHEMAS = frozenset(MANY)
IN_PLACE = frozenset({"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"})
"""Keywords whose subschemas apply to the same value as the schema that contains the keyword."""
ANNOTATIONS = frozenset(
    (
        *(
            "$comment",
            "contentEncoding",
            "contentMediaType",
            "default",
            "deprecated",
            "description",
            "examples",
        ),
        *("format", "readOnly", "title", "writeOnly"),
    )
)
FORBIDDEN = {
    "$anchor": "ajv in strict mode does not know it; refer to #/$defs/NAME",
    "$dynamicAnchor": "no two engines resolve it alike; refer to #/$defs/NAME",
    "$dynamicRef": "no two engines resolve it alike; refer to #/$defs/NAME",
    "$vocabulary": "it belongs to a metaschema",
    "contentSchema": "engines do not look into strings",
    "dependentSchemas": "write if and then",
    "patternProperties": "name the members in properties",
    "unevaluatedItems": "write items",
    "unevaluatedProperties": "write additionalProperties",
}
BY_TYPE = {
    "string": frozenset({"format", "maxLength", "minLength", "pattern"}),
    "number": frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}),
    "array": frozenset(
        {
            "contains",
            "items",
            "maxContains",
            "maxItems",
            "minContains",
            "minItems",
            "prefixItems",
            "uniqueItems",
        }
    ),
    "object": frozenset(
        (
            *("additionalProperties", "dependentRequired", "maxProperties", "minProperties", "properties"),
            *("propertyNames", "required"),
        )
    ),
}
"""Keywords that restrict values of one type only and accept all other values."""
OTHERS = frozenset({"$id", "$ref", "$schema", "allOf", "anyOf", "const", "$defs", "enum", "oneOf", "type"})
KNOWN = frozenset().union(
    ONE_SCHEMA, NAMED_SCHEMAS, LISTED_SCHEMAS, ANNOTATIONS, OTHERS, FORBIDDEN, *BY_TYPE.values()
)
_DEFS = "#/$defs/"


@dataclass(frozen=True, slots=True)
class Place:
    """A subschema: its pointer, the keyword that contains the subschema ("" at the top), and the enclosing subschema.

    `negated` is true below an odd number of `not`.
    """

    pointer: str
    schema: JsonObject
    keyword: str
    parent: "Place | None"
    negated: bool

    def fault(self, rule: LintRule, keyword: str, sentence: str) -> Fault:
        """Return a fault of one keyword of this subschema."""
        return Fault(rule, below(self.pointer, keyword), sentence)


def places(schema: JsonObject) -> Iterator[Place]:
    """Yield every subschema that is an object, parents first."""
    todo = [Place("", schema, "", None, negated=False)]
    while todo:
        place = todo.pop()
        yield place
        children = [
            Place(pointer, child, keyword, place, negated=place.negated ^ (keyword == "not"))
            for keyword, pointer, child in _children(place)
            if isinstance(child, dict)
        ]
        todo.extend(reversed(children))


def _children(place: Place) -> Iterator[tuple[str, str, JsonValue]]:
    for keyword, value in place.schema.items():
        pointer = below(place.pointer, keyword)
        if isinstance(value, dict) and keyword in NAMED_SCHEMAS:
            yield from ((keyword, below(pointer, name), child) for name, child in value.items())
        elif isinstance(value, list) and keyword in LISTED_SCHEMAS:
            yield from ((keyword, below(pointer, number), child) for number, child in enumerate(value))
        elif keyword in ONE_SCHEMA:
            yield keyword, pointer, value


def below(pointer: str, step: str | int) -> str:
    """Add a step to an RFC 6901 pointer."""
    return f"{pointer}/{escaped(str(step))}"


def definition(root: JsonObject, reference: JsonValue) -> JsonObject | None:
    """Return the schema that `#/$defs/NAME` leads to; None for another reference or a missing definition."""
    if not isinstance(reference, str) or not is_local(reference):
        return None
    found = object_at(root, "$defs").get(unescaped(reference.removeprefix(_DEFS)))
    return found if isinstance(found, dict) else None


def reference_to(name: str) -> str:
    """Return the reference that leads to a definition."""
    return f"{_DEFS}{escaped(name)}"


def is_local(reference: str) -> bool:
    """Return whether a reference has the form `#/$defs/NAME`."""
    name = reference.removeprefix(_DEFS)
    return name not in ("", reference) and "/" not in name and "%" not in name


def types(schema: JsonObject) -> frozenset[str]:
    """Return the types that a subschema states; an empty set if the subschema states no type."""
    stated = schema.get("type")
    listed = stated if isinstance(stated, list) else [stated]
    return frozenset(name for name in listed if isinstance(name, str))
