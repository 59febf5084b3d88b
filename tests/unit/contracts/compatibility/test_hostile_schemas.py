"""Hostile schemas: no exception but SchemaError, no wrong "compatible", and each comparison ends.

If a short document decides a pair, the result is compared with it.
"""

import json
import time
from typing import Any

import jsonschema_rs
import pytest

from mailpact_contract_tool.compare.document import SchemaError
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Verdict
from tests.each import each

MOST_SECONDS = 5.0  # of processor time, for both directions


def nested(depth: int, word: str, inside: Any) -> Any:
    """Return a schema that is nested to this depth."""
    for _ in range(depth):
        inside = {word: [inside]} if word in ("allOf", "anyOf", "oneOf", "prefixItems") else {word: inside}
    return inside


def named(depth: int, inside: Any) -> Any:
    for _ in range(depth):
        inside = {"properties": {"a": inside}}
    return inside


def circle(last: Any) -> Any:
    """Return a list of lists that ends in `last`."""
    lists = {"type": "array", "items": {"$ref": "#/$defs/list"}}
    return {"$ref": "#/$defs/list", "$defs": {"list": {"anyOf": [last, lists]}}}


DECIDED = {
    "booleans everywhere": ({"items": True, "properties": {"a": True}}, {"items": False}, [0]),
    "false against everything": (True, False, None),
    "false below not": ({"not": False}, {"not": True}, 0),
    "boolean branches": ({"anyOf": [True, False]}, {"oneOf": [True, True]}, 0),
    "boolean siblings": (
        {"properties": {"a": True}, "additionalProperties": False},
        {"properties": {"a": False}, "additionalProperties": True},
        {"a": 0},
    ),
    "boolean condition": ({"if": True, "then": True, "else": False}, {"if": True, "then": False}, 0),
    "boolean dependency": ({}, {"dependentSchemas": {"a": False}}, {"a": 0}),
    "unevaluated beside false": ({}, {"anyOf": [False, True], "unevaluatedProperties": False}, {"a": 0}),
    "empty enumeration": ({"enum": [0]}, {"enum": []}, 0),
    "empty names": ({}, {"properties": {"": {"type": "string"}}}, {"": 0}),
    "names that are pointers": ({}, {"properties": {"~1/~0": False}}, {"~1/~0": 0}),
    "nested properties": (named(25, {}), named(25, {"type": "string"}), None),
    "nested not": (nested(31, "not", {"type": "string"}), nested(30, "not", {"type": "string"}), 0),
    "nested allOf": (nested(30, "allOf", {}), nested(30, "allOf", {"type": "string"}), 0),
    "a circle that ends in another type": (circle({"type": "null"}), circle({"type": "string"}), [[None]]),
    "huge enumeration": ({"enum": [*range(5000)]}, {"enum": [*range(4999)]}, 4999),
    "huge enumeration of texts": (
        {"enum": [f"v{number}" for number in range(3000)]},
        {"enum": [f"v{number}" for number in range(1, 3000)]},
        "v0",
    ),
    "huge enumeration of objects": (
        {"enum": [{"a": number} for number in range(300)]},
        {"enum": [{"a": number} for number in range(1, 300)]},
        {"a": 0},
    ),
    "one and true": ({"enum": [1]}, {"enum": [True]}, 1),
    "zero and false": ({"const": False}, {"const": 0}, False),
    "zero and its negative": ({"const": 0}, {"const": 0, "exclusiveMinimum": 0}, 0),
    "beyond 2^53": ({"minimum": 2**53}, {"minimum": 2**53 + 1}, 2**53),
    "the greatest double": ({"maximum": 1.7976931348623157e308}, {"maximum": 1e308}, 1.5e308),
    "the smallest double": ({"exclusiveMinimum": 0}, {"minimum": 1}, 0.5),
    "a great factor": ({"multipleOf": 7}, {"multipleOf": 7 * 10**15}, 7),
    "catastrophic patterns": ({"pattern": "^(a+)+$"}, {"pattern": "^(a+)+b$"}, "a"),
    "catastrophic alternatives": ({"pattern": "^(a|a)*$"}, {"pattern": "^(a|aa)+$"}, ""),
    "lengths without end": ({"minLength": 0}, {"minLength": 2**40}, ""),
    "sizes that are numbers with a fraction": ({"maxItems": 2.0}, {"maxItems": 1.0}, [0, 0]),
    "unknown keywords": ({"x-a": {"type": 5}, "wat": [1]}, {"x-b": None, "type": "string"}, 0),
    "keywords of older drafts": ({}, {"definitions": {"a": False}, "type": "null"}, 0),
    "an unread pattern": ({"pattern": "(?=a)"}, {"pattern": "(?=a)", "minLength": 9}, None),
    "a surrogate in a text": ({"const": "\ud800"}, {"const": "a"}, None),
    "NUL and controls": ({"const": "\x00\x1f"}, {"pattern": "^[a-z]*$"}, "\x00\x1f"),
}
"""Two schemas, and a document of the first one that the second one refuses; None if naming one is not worth it."""


@pytest.mark.parametrize("name", DECIDED)
def test_a_hostile_pair_is_never_called_compatible(name: str) -> None:
    old, new, _ = DECIDED[name]
    begin = time.process_time()

    comparison = compare(old, new)

    assert comparison.backward != Verdict.COMPATIBLE
    assert time.process_time() - begin < MOST_SECONDS
    json.dumps(comparison.to_json())


@each("name", [name for name, (*_, document) in DECIDED.items() if document is not None])
def test_the_document_decides_the_hostile_pair(name: str) -> None:
    old, new, document = DECIDED[name]

    accepted = [
        jsonschema_rs.Draft202012Validator(side, validate_formats=False).is_valid(document)
        for side in (old, new)
    ]

    assert accepted == [True, False]


@each("name", list(DECIDED))
def test_a_hostile_schema_is_compatible_with_itself_or_unproven(name: str) -> None:
    old, new, _ = DECIDED[name]

    for schema in (old, new):
        comparison = compare(schema, schema)
        assert Verdict.BREAKING not in (comparison.backward, comparison.forward)
        assert comparison.changes == ()


REFUSED = {
    "too deep": nested(200, "not", {}),
    "deeper than the stack": nested(50_000, "items", {}),
    "too many values": {"enum": [*range(50_000)]},
    "a reference to itself": {"$ref": "#"},
    "a circle of references": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "a circle in place": {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"not": {"$ref": "#/$defs/a"}}]}}},
    "a reference to nothing": {"$ref": "#/$defs/none"},
    "a reference into a text": {"$ref": "#/title", "title": "x"},
    "a reference past a list": {"$ref": "#/allOf/7", "allOf": [True]},
    "a reference to another file": {"$ref": "file:///etc/passwd"},
    "a reference to an address": {"properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}},
    "a number without end": {"minimum": float("inf")},
    "no number": {"const": float("nan")},
    "a number that no double holds": {"maximum": 10**400},
    "another draft": {"$schema": "http://json-schema.org/draft-07/schema#"},
    "a keyword of a wrong type": {"properties": []},
    "an id inside": {"properties": {"a": {"$id": "urn:x"}}},
    "no schema": [],
    "null": None,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_cannot_be_compared_is_refused_by_name(name: str) -> None:
    schema: Any = REFUSED[name]

    for old, new, side in ((schema, {}, "old"), ({}, schema, "new")):
        with pytest.raises(SchemaError) as refused:
            compare(old, new)
        assert refused.value.side == side
        assert len(str(refused.value)) < 300
