"""How changes are named and where they point to, and what cannot be compared."""

import pytest

from mailpact_contract_tool.compare.document import SchemaError
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Verdict

STRING = {"type": "string"}


def named(old, new):
    return [(change.rule, change.pointer) for change in compare(old, new).changes]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"maxLength": 2}, {"maxLength": 1}, [("MAX_LENGTH_DECREASED", "/maxLength")]),
        ({"maxLength": 2}, {}, [("MAX_LENGTH_INCREASED", "/maxLength")]),
        ({"minimum": 0}, {"exclusiveMinimum": 0}, [("MINIMUM_INCREASED", "/exclusiveMinimum")]),
        ({"enum": [1, 2]}, {"enum": [1, 3]}, [("ENUM_NARROWED", "/enum"), ("ENUM_WIDENED", "/enum")]),
        ({"required": ["b"]}, {"required": ["a", "b"]}, [("REQUIRED_ADDED", "/required/0")]),
        ({"required": ["a", "b"]}, {"required": ["b"]}, [("REQUIRED_REMOVED", "/required/0")]),
        (
            {"properties": {"a/b": STRING}},
            {"properties": {"a/b": {"type": "integer"}}},
            [("TYPE_CHANGED", "/properties/a~1b/type")],
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/t"}}, "$defs": {"t": STRING}},
            {"properties": {"a": {"$ref": "#/$defs/u"}}, "$defs": {"u": {**STRING, "minLength": 1}}},
            [("MIN_LENGTH_INCREASED", "/$defs/u/minLength")],
        ),
        ({"anyOf": [STRING, {"type": "null"}]}, {"anyOf": [{"type": "null"}, STRING]}, []),
        ({"anyOf": [STRING]}, {"anyOf": [{"type": "null"}, STRING]}, [("ANYOF_BRANCH_ADDED", "/anyOf/0")]),
        ({"not": STRING}, {"not": {"type": "null"}}, [("TYPE_CHANGED", "/not/type")]),
        ({"items": STRING}, {"items": {**STRING, "title": "x"}}, [("DESCRIPTION_CHANGED", "/items/title")]),
        ({"if": STRING, "then": {}}, {"if": STRING, "then": False}, [("CONDITIONAL_CHANGED", "/then")]),
        ({}, {"unevaluatedProperties": False}, [("KEYWORD_OUTSIDE_SUBSET", "/unevaluatedProperties")]),
    ],
)
def test_change_has_its_rule_and_a_pointer_to_where_it_stands(old, new, expected):
    assert named(old, new) == expected


def test_change_under_not_is_judged_by_what_it_does():
    (change,) = compare(
        {"type": "string", "not": {"minLength": 5}}, {"type": "string", "not": {"minLength": 4}}
    ).changes

    assert change.rule == "MIN_LENGTH_DECREASED"
    assert (change.backward, change.witness_backward) == (Verdict.BREAKING, "aaaa")
    assert change.forward == Verdict.COMPATIBLE


def test_keyword_outside_the_subset_is_unproven_and_named():
    comparison = compare(
        {"type": "object", "dependencies": {"x": ["y"]}},
        {"type": "object", "dependencies": {"x": ["z"]}},
    )

    assert comparison.full == Verdict.UNPROVEN
    assert [change.pointer for change in comparison.changes] == ["/dependencies"]
    assert all("dependencies" in reason for reason in comparison.reasons)


def test_definition_that_an_unread_keyword_refers_to_is_not_taken_for_the_same():
    def schema(used):
        return {
            "type": "object",
            "dependencies": {"x": {"$ref": "#/$defs/t"}},
            "$defs": {"t": used},
        }

    assert compare(schema(STRING), schema({"type": "integer"})).full != Verdict.COMPATIBLE


def test_break_that_only_several_changes_make_is_put_down_to_all_of_them():
    def schema(length):
        branch = {"anyOf": [{"maxLength": length}, {"maxLength": length}]}
        return {"type": "string", "allOf": [branch, branch]}

    *single, combined = compare(schema(9), schema(5)).changes

    assert {change.backward for change in single} == {Verdict.COMPATIBLE}
    assert (combined.rule, combined.backward) == ("CHANGES_COMBINED", Verdict.BREAKING)


def nested(depth):
    schema = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "pointer", "fault"),
    [
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "2020-12"),
        ({"properties": {"a": {"type": "text"}}}, "/properties/a/type", "not a schema"),
        ({"items": {"$ref": "#/$defs/gone"}}, "/$defs/gone", "has no value"),
        ({"items": {"$ref": "#/required/0"}, "required": ["a"]}, "/required/0", "not a schema"),
        ({"items": {"$ref": "https://example.org/s"}}, "/items/$ref", "points out of this file"),
        ({"items": {"$ref": "#name"}}, "/items/$ref", "points out of this file"),
        ({"$ref": "#"}, "", "without end"),
        (
            {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
            "/$defs/a",
            "end",
        ),
        ({"items": {"$id": "urn:example:inner"}}, "/items/$id", "only the top"),
        (nested(100), "", "deeper than 64"),
        ({"enum": list(range(30_000))}, "", "more than 20000 values"),
        ({"minimum": 10**400}, "", "too large"),
    ],
)
def test_schema_that_cannot_be_compared_is_refused_with_its_place(schema, pointer, fault):
    with pytest.raises(SchemaError, match=fault) as refused:
        compare({}, schema)

    assert (refused.value.side, refused.value.pointer) == ("new", pointer)


@pytest.mark.parametrize(
    ("old", "new", "backward", "forward"),
    [
        # A member that patternProperties lets through beside additionalProperties.
        (
            {"additionalProperties": False, "patternProperties": {"^a": {}}},
            {"additionalProperties": False, "patternProperties": {"^a": {}}, "properties": {"zz": {}}},
            "compatible",
            "breaking",
        ),
        (
            {"patternProperties": {"^(x|y)": STRING}},
            {"patternProperties": {"^x": STRING, "^y": STRING}},
            "compatible",
            "compatible",
        ),
        (
            {"patternProperties": {"^x": STRING}},
            {"patternProperties": {"^xy": STRING}},
            "compatible",
            "breaking",
        ),
        (
            {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False},
            {"properties": {"a": {}}, "additionalProperties": False},
            "compatible",
            "compatible",
        ),
        (
            {"if": {"required": ["a"]}, "then": {"properties": {"b": {}}}, "unevaluatedProperties": False},
            {"if": {"required": ["a"]}, "else": {"properties": {"b": {}}}, "unevaluatedProperties": False},
            "compatible",
            "breaking",
        ),
        (
            {"prefixItems": [{}], "unevaluatedItems": False},
            {"prefixItems": [{}], "items": False},
            "compatible",
            "compatible",
        ),
        (
            {"contains": STRING, "unevaluatedItems": {"type": "integer"}},
            {"items": {"type": ["string", "integer"]}},
            "compatible",
            "breaking",
        ),
        ({"contains": STRING, "minContains": 0}, {"contains": STRING}, "breaking", "compatible"),
        ({"prefixItems": [{}], "items": False}, {"items": False}, "breaking", "compatible"),
    ],
)
def test_keyword_is_compared_with_the_keywords_beside_it(old, new, backward, forward):
    comparison = compare(old, new)

    assert (comparison.backward, comparison.forward) == (backward, forward)


@pytest.mark.parametrize(
    ("old", "new", "backward", "forward"),
    [
        (True, True, "compatible", "compatible"),
        (True, {}, "compatible", "compatible"),
        (True, False, "breaking", "compatible"),
        (False, {"type": "string"}, "compatible", "breaking"),
        (False, {"not": {}}, "compatible", "compatible"),
        ({"properties": {"a": True}}, {"properties": {"a": False}}, "breaking", "compatible"),
    ],
)
def test_boolean_schemas_are_schemas(old, new, backward, forward):
    comparison = compare(old, new)

    assert (comparison.backward, comparison.forward) == (backward, forward)


VALUES = [f"value-{number}" for number in range(600)]
OBJECTS = [{"a": number} for number in range(600)]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("old", "new", "backward", "forward"),
    [
        ({"enum": VALUES}, {"enum": VALUES[::-1]}, "compatible", "compatible"),
        ({"enum": VALUES}, {"enum": [*VALUES, "new"]}, "compatible", "breaking"),
        ({"type": "string"}, {"enum": VALUES}, "breaking", "compatible"),
        ({"enum": VALUES}, {"oneOf": [{"const": value} for value in VALUES]}, "compatible", "compatible"),
        ({"allOf": [{"enum": VALUES}]}, {"properties": {}, "enum": [*VALUES, 1]}, "compatible", "breaking"),
        ({"enum": OBJECTS}, {"enum": OBJECTS[1:]}, "breaking", "compatible"),
        ({"type": "object"}, {"enum": OBJECTS}, "breaking", "compatible"),
        (
            {"properties": {"a": {"enum": VALUES}}},
            {"properties": {"a": {"enum": VALUES[1:]}}},
            "breaking",
            "compatible",
        ),
        (
            {"type": "integer", "minimum": 0, "maximum": 599},
            {"enum": [*range(600)]},
            "compatible",
            "compatible",
        ),
        ({"pattern": "^v[0-9]{1,3}$"}, {"enum": [f"v{n}" for n in range(999)]}, "breaking", "compatible"),
    ],
)
def test_long_enumerations_are_decided_as_sets(old, new, backward, forward):
    comparison = compare(old, new)

    assert (comparison.backward, comparison.forward) == (backward, forward)


@pytest.mark.heavy
def test_union_of_many_objects_that_a_constant_tells_apart_is_decided():
    def union(**keywords):
        return {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": f"k{number}"}, "text": {"type": "string", **keywords}},
                    "required": ["kind", "text"],
                }
                for number in range(30)
            ]
        }

    comparison = compare(union(), union(maxLength=5))

    assert (comparison.backward, comparison.forward) == ("breaking", "compatible")
