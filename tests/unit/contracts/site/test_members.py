"""The description of each member on a contract's page."""

from mailpact_contract_tool.site.members import members

SCHEMA = {
    "type": "object",
    "required": ["to"],
    "properties": {
        "to": {"type": "array", "minItems": 1, "maxItems": 50, "items": {"$ref": "#/$defs/box"}},
        "at": {"description": "When.", "$ref": "#/$defs/moment"},
        "event": {"type": "string", "enum": ["sent", "failed"]},
        "tags": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 9}},
    },
    "$defs": {
        "box": {"type": "object", "required": ["address"], "properties": {"address": {"type": "string"}}},
        "moment": {"type": "string", "description": "In UTC.", "pattern": "Z$", "maxLength": 1000},
    },
}


def test_members_come_in_order_with_those_that_they_hold():
    rows = {row.path: (row.type, row.required, row.limits) for row in members(SCHEMA)}

    assert rows == {
        "to": ("array of object", True, "1 to 50 items"),
        "to[].address": ("string", True, ""),
        "at": ("string", False, "at most 1,000 characters; a pattern"),
        "event": ("one of sent, failed", False, ""),
        "tags": ("object of string", False, "each value at most 9 characters"),
    }


def test_a_member_says_what_it_is_and_what_its_kind_is():
    (at,) = [row for row in members(SCHEMA) if row.path == "at"]

    assert (at.description, at.pattern) == ("When. In UTC.", "Z$")


def test_a_schema_that_holds_itself_ends():
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}}

    assert 1 < len(members(tree)) < 20
