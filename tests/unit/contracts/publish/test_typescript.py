"""Schemas become the types that a person would have written."""

import pytest

from mailpact_contract_tool.publish.typescript import declarations, type_name

OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = {**OPEN, "additionalProperties": False}
EITHER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    "anyOf": [
        {"type": "object", "required": ["a"], "properties": {"a": True}},
        {"type": "object", "required": ["b"], "properties": {"b": True}},
    ],
}


def declared(schema):
    """Return the text after `export type Thing1 =`, without line ends and indentation."""
    text = declarations("thing/1", schema).partition("export type Thing1 = ")[2].partition(";\n\n")[0]
    return " ".join(text.removesuffix(";\n").split())


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "number"),
        ({"type": ["string", "null"]}, "(string | null)"),
        ({"type": ["integer", "number"]}, "number"),
        ({"const": 2}, "2"),
        ({"type": "string", "enum": ["a", "b"]}, '("a" | "b")'),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "Array<(string | null)>"),
        ({"type": "array"}, "unknown[]"),
        (OPEN, "{ a?: string; [member: string]: unknown; }"),
        (CLOSED, "{ a?: string; }"),
        ({**CLOSED, "required": ["a"]}, "{ a: string; }"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "{ [member: string]: string; }",
        ),
        ({**CLOSED, "properties": {"a-b": {"type": "null"}}}, '{ "a-b"?: null; }'),
        ({**CLOSED, "properties": {"a": False}}, "{ a?: never; }"),
        (EITHER, "{ a?: string; b?: string; } & ({ a: unknown; } | { b: unknown; })"),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, "(string | null)"),
        ({}, "unknown"),
        ({"if": {"type": "string"}, "then": {"minLength": 1}}, "unknown"),
    ],
)
def test_a_schema_becomes_a_type(schema, type_):
    assert declared(schema) == type_


def test_definitions_become_types_under_the_contracts_name():
    text = declarations(
        "thing/1",
        {"type": "array", "items": {"$ref": "#/$defs/one-part"}, "$defs": {"one-part": {"$ref": "#"}}},
    )

    assert "export type Thing1 = Thing1OnePart[];" in text
    assert "export type Thing1OnePart = Thing1;" in text


def test_descriptions_and_limits_stand_above_the_member_and_end_no_comment():
    text = declarations(
        "thing/1",
        {**CLOSED, "properties": {"a": {"type": "string", "description": "Ends */ here.", "maxLength": 3}}},
    )

    assert "  /**\n   * Ends *\\/ here.\n   * @maxLength 3\n   */\n  a?: string;\n" in text


def test_names_of_types_are_made_of_the_contracts_words():
    assert type_name("template/reset-password/1") == "TemplateResetPassword1"
