"""Schemas that the rules accept, and cases that are not on the rules' pages."""

import json
import os
from typing import Any

import pytest

from mailpact_contract_tool.folder.files import MOST_FILES, FolderError, read_files
from mailpact_contract_tool.lint.rules import LintRule
from mailpact_contract_tool.lint.schemas import Side, draft_faults, portable_faults
from mailpact_contract_tool.lint.topology_rules import matches

CONTROLS = {"pattern": "[\\x00-\\x20]"}


def broken(schema: dict[str, Any], side: Side = Side.READERS) -> set[str]:
    """Return the portable rules that a schema breaks."""
    return {fault.rule for fault in portable_faults(schema, side)}


def rules_at(findings: Any, path: str) -> set[tuple[str, str]]:
    """Return the rules and pointers of a file's findings."""
    return {(finding.rule, finding.pointer) for finding in findings if finding.file == path}


@pytest.mark.parametrize(
    "guard",
    [
        {"not": CONTROLS},
        {"not": {"anyOf": [{"pattern": "^-"}, CONTROLS]}},
        {"not": {"type": "string", "$comment": "Line ends.", "pattern": "\\x0a"}},
        {"not": {"$ref": "#/$defs/controls"}},
        {"allOf": [{"not": CONTROLS}]},
        {"maxLength": 3},
        {"enum": ["abc"]},
        {"const": "abc"},
    ],
    ids=json.dumps,
)
def test_last_line_end_is_stopped_by(guard):
    schema = {"type": "string", "pattern": "^[a-z]{3}$", **guard, "$defs": {"controls": CONTROLS}}

    assert LintRule.PATTERN_LETS_NEWLINE_THROUGH not in broken(schema)


@pytest.mark.parametrize(
    "guard",
    [
        {},
        {"not": {"pattern": "^[\\x00-\\x20]"}},
        {"not": {"pattern": "[\\x00-\\x09]"}},
        {"not": {"maxLength": 2, **CONTROLS}},
        {"not": {"$ref": "#/$defs/nothing"}},
        {"maxLength": 4},
    ],
    ids=json.dumps,
)
def test_last_line_end_is_not_stopped_by(guard):
    schema = {"type": "string", "pattern": "^[a-z]{3}$", **guard}

    assert LintRule.PATTERN_LETS_NEWLINE_THROUGH in broken(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "if": {"properties": {"a": True}, "required": ["a"]}, "then": {"required": []}},
        {"type": "string", "not": {"anyOf": [{"minLength": 3}]}},
        {"type": ["string", "null"], "maxLength": 3},
        {"type": "integer", "minimum": 0, "maximum": 5},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "array", "items": {"type": "string"}, "prefixItems": [True], "maxItems": 2},
        {
            "type": "object",
            "required": ["a/b~c"],
            "properties": {"a/b~c": {"$ref": "#/$defs/x~1y"}},
            "$defs": {"x/y": {}},
        },
    ],
    ids=json.dumps,
)
def test_portable_schema_breaks_no_rule(schema):
    assert broken(schema) == set()


@pytest.mark.parametrize(
    ("schema", "rule", "pointer"),
    [
        (
            {"properties": {"a": {"anyOf": [{"maxLength": 1}]}}, "type": "object"},
            LintRule.TYPE_NOT_STATED,
            "/properties/a/anyOf/0/maxLength",
        ),
        (
            {"type": "object", "properties": {"a": {"$id": "urn:x"}}},
            LintRule.KEYWORD_FORBIDDEN,
            "/properties/a/$id",
        ),
        ({"items": {"$ref": "#/$defs/a/b"}, "type": "array"}, LintRule.REFERENCE_NOT_LOCAL, "/items/$ref"),
        ({"enum": [1, [2.0]]}, LintRule.NUMBER_WRITTEN_WITH_FRACTION, "/enum/1/0"),
        ({"const": {"a/b": -(2**60)}}, LintRule.NUMBER_TOO_GREAT, "/const/a~1b"),
        ({"type": "integer", "exclusiveMinimum": 1, "maximum": 1}, LintRule.LIMITS_CONTRADICT, "/maximum"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, LintRule.LIMITS_CONTRADICT, "/maxItems"),
        ({"type": "string", "format": "email", "maxLength": 9}, LintRule.FORMAT_ALONE, "/format"),
        (
            {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}},
            LintRule.REFERENCE_RECURSIVE,
            "/$defs/a",
        ),
        (
            {
                "$ref": "#/$defs/d0",
                "$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(70)} | {"d70": {}},
            },
            LintRule.REFERENCES_EXPLODE,
            "/$defs",
        ),
        ({"allOf": [{"type": "string", "pattern": "[a]"}] * 201}, LintRule.PATTERN_EXPLODES, ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_place_of_what_is_not_portable_is_named(schema, rule, pointer):
    assert (rule, pointer) in {(fault.rule, fault.pointer) for fault in portable_faults(schema, Side.READERS)}


def test_definition_between_and_before_recursive_ones_is_not_called_recursive():
    schema = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"items": {"$ref": "#/$defs/b"}}, "c": {}}}

    faults = [
        fault for fault in portable_faults(schema, Side.READERS) if fault.rule == LintRule.REFERENCE_RECURSIVE
    ]

    assert [fault.pointer for fault in faults] == ["/$defs/b"]


@pytest.mark.parametrize(
    ("schema", "is_open"),
    [
        ({"type": "object", "properties": {}}, True),
        ({"type": "object", "properties": {}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {}, "additionalProperties": True}, False),
        ({"type": "object", "additionalProperties": False, "anyOf": [{"properties": {"a": True}}]}, False),
        ({"type": "object", "additionalProperties": False, "properties": {"a": {"properties": {}}}}, True),
        ({"not": {"properties": {}}}, False),
    ],
    ids=json.dumps,
)
def test_object_of_a_writer_is_open_unless_it_or_what_it_stands_in_says_otherwise(schema, is_open):
    assert (LintRule.WRITER_OPEN in broken(schema, Side.WRITERS)) == is_open


def test_pointer_into_a_malformed_schema_is_named():
    draft = "https://json-schema.org/draft/2020-12/schema"

    (fault,) = draft_faults({"$schema": draft, "properties": {"a": {"minLength": -1}}})

    assert (fault.rule, fault.pointer) == (LintRule.SCHEMA_NOT_2020_12, "/properties/a/minLength")


@pytest.mark.parametrize(
    ("kind", "pattern", "key", "does"),
    [
        ("direct", "a", "a", True),
        ("direct", "a", "b", False),
        ("fanout", "a", "b", True),
        ("topic", "#", "", True),
        ("topic", "#", "a.b", True),
        ("topic", "a.#", "a", True),
        ("topic", "a.*", "a", False),
        ("topic", "*.b", "a.b", True),
        ("topic", "#.b", "a.c", False),
        ("topic", "a.#.c", "a.b.b.c", True),
        ("topic", "#.#.#.x", ".".join("a" * 300), False),
    ],
)
def test_key_matches_as_on_the_broker(kind, pattern, key, does):
    assert matches(kind, pattern, key) == does


def edited(sound: dict[str, bytes], path: str, **changes: Any) -> dict[str, Any]:
    """Return a document of the sound folder with members changed."""
    return {**json.loads(sound[path]), **changes}


def test_publisher_whose_key_comes_from_the_body_is_followed_for_each_value(sound, found):
    writers = {"routing_key": "{/event}", "content_type": "application/json"}
    sound["order/1/binding.json"] = json.dumps(
        edited(sound, "order/1/binding.json", writers=writers)
    ).encode()
    schema = edited(sound, "order/1/writer.schema.json")
    schema["properties"]["event"] = {"type": "string", "enum": ["new"]}

    at = rules_at(found("order/1/writer.schema.json", schema), "order/1/binding.json")

    assert (LintRule.PUBLISHER_UNROUTABLE, "/writers/routing_key") in at
    assert (LintRule.BINDING_KEY_NOT_READ, "/writers/routing_key") in at


def test_publisher_to_whom_nobody_has_to_listen_may_reach_no_queue(sound, found):
    writers = {"routing_key": "", "content_type": "application/json", "mandatory": False}
    topology = edited(sound, "topology.json")
    topology["bindings"].pop()
    sound["topology.json"] = json.dumps(topology).encode()

    at = rules_at(
        found("order/1/binding.json", edited(sound, "order/1/binding.json", writers=writers)),
        "order/1/binding.json",
    )

    assert LintRule.PUBLISHER_UNROUTABLE not in {rule for rule, _ in at}


def test_dead_letters_with_a_key_of_their_own_must_match_a_binding(sound, found):
    topology = edited(sound, "topology.json")
    topology["exchanges"][1]["type"] = "direct"
    topology["queues"][1]["arguments"]["x-dead-letter-routing-key"] = "late"

    at = rules_at(found("topology.json", topology), "topology.json")

    assert (LintRule.DEAD_LETTER_TARGET_MISSING, "/queues/1/arguments/x-dead-letter-exchange") in at


def test_dead_letter_exchange_and_bindings_must_be_declared(sound, found):
    topology = edited(sound, "topology.json")
    del topology["exchanges"][1]

    at = rules_at(found("topology.json", topology), "topology.json")

    assert (LintRule.DEAD_LETTER_TARGET_MISSING, "/queues/1/arguments/x-dead-letter-exchange") in at
    assert (LintRule.TOPOLOGY_UNDECLARED, "/bindings/0/exchange") in at


@pytest.mark.parametrize(
    ("kind", "document", "rule"),
    [
        ("valid", {"description": "x", "body_base64": "eyJpZCI6ICJhIn0="}, None),
        ("valid", {"description": "x", "body_base64": "?"}, LintRule.FILE_TOO_LARGE),
        ("valid", {"description": "x", "body_pieces": [{"text": '{"id": "a"}', "times": 1.0}]}, None),
        ("valid", {"description": "x", "body": "{}"}, LintRule.VALID_VECTOR_REFUSED),
        ("valid", {"description": "x", "body": '{"id": "a", "b": 1}'}, LintRule.VALID_VECTOR_REFUSED),
        (
            "valid",
            {"description": "x", "body": '{"id": "a"}', "writer_error": {}},
            LintRule.INVALID_VECTOR_ACCEPTED,
        ),
        (
            "valid",
            {"description": "x", "body": '{"id": "a", "b": 1}', "writer_error": {"keyword": "type"}},
            LintRule.INVALID_VECTOR_REFUSED_OTHERWISE,
        ),
        (
            "valid",
            {"description": "x", "body": '{"id": "a"}', "content_type": "text/html"},
            LintRule.VALID_VECTOR_REFUSED,
        ),
        ("valid", {"description": "x", "body": '{"id": "a"}', "content_type": "Application/JSON ; x"}, None),
        (
            "valid",
            {"description": "x", "body": '{"id": "a"}', "properties": {"type": "order.v2"}},
            LintRule.VALID_VECTOR_REFUSED,
        ),
        ("valid", {"description": "x", "body": '{"id": "a"}', "properties": {"type": ""}}, None),
        (
            "valid",
            {"description": "x", "body": '{"id": "a"}', "properties": {"content_encoding": "gzip"}},
            LintRule.VALID_VECTOR_REFUSED,
        ),
        (
            "invalid",
            {"description": "x", "body": "{}", "error": {"code": "id_conflict"}},
            LintRule.INVALID_VECTOR_REFUSED_OTHERWISE,
        ),
        (
            "invalid",
            {"description": "x", "body": '{"id": "a"}', "error": {"code": "no_such"}},
            LintRule.ERROR_CODE_UNKNOWN,
        ),
        (
            "invalid",
            {"description": "x", "body": "[", "error": {"code": "schema"}},
            LintRule.INVALID_VECTOR_REFUSED_OTHERWISE,
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_vector_says_what_the_contract_says(found, kind, document, rule):
    path = f"order/1/vectors/{kind}/this.json"

    found_there = {finding.rule for finding in found(path, document) if finding.file == path}

    assert found_there == ({rule} if rule else set())


def entry(sound: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    """Return the index with the one contract's entry changed."""
    (row,) = json.loads(sound["index.json"])["contracts"]
    return {"contracts": [{**row, **changes}]}


def test_deprecation_has_a_day(sound, found):
    without = found("index.json", entry(sound, status="deprecated"))
    with_day = found("index.json", entry(sound, status="deprecated", deprecated="2027-01-31"))

    assert (LintRule.FILE_MALFORMED, "/contracts/0/status") in rules_at(without, "index.json")
    assert with_day == []


@pytest.mark.parametrize("version", ["2.0", "1", "1.x", "01.0"])
def test_history_holds_versions_of_its_own_major_only(found, version):
    path = f"order/1/history/{version}/schema.json"

    findings = found(path, {})

    assert (LintRule.VERSION_GAP, "") in rules_at(findings, f"order/1/history/{version}")


def test_changelog_stands_newest_first(sound, found):
    assert found("order/1/CHANGELOG.md", b"# C\n\n## 1.0\n\nThe first.\n\n## Notes\n") == []
    assert LintRule.CHANGELOG_INCOMPLETE in {
        f.rule for f in found("order/1/CHANGELOG.md", b"## 1.1\n## 1.0\n")
    }
    assert LintRule.FILE_MISSING in {f.rule for f in found("order/1/CHANGELOG.md", None)}


def test_folder_is_read_whole_but_for_what_is_hidden(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").write_bytes(b"1")
    (tmp_path / "a" / "b" / "c.json").write_bytes(b"2")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    assert read_files(tmp_path) == {"a/b/c.json": b"2"}


@pytest.mark.heavy
def test_folder_of_very_many_files_is_refused(tmp_path):
    for number in range(MOST_FILES + 1):
        (tmp_path / str(number)).touch()

    with pytest.raises(FolderError, match="more than 20000 files or 128 MiB"):
        read_files(tmp_path)


def test_folder_of_very_many_bytes_is_refused_before_all_of_it_is_read(tmp_path):
    (tmp_path / "0").write_bytes(b"x" * 1024 * 1024)
    for number in range(1, 200):
        (tmp_path / str(number)).hardlink_to(tmp_path / "0")

    with pytest.raises(FolderError, match="128 MiB"):
        read_files(tmp_path)


def test_name_that_is_not_utf_8_can_be_printed(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.json")).write_bytes(b"1")

    assert read_files(tmp_path) == {"a\ufffd.json": b"1"}


def test_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FolderError, match="is not a folder"):
        read_files(tmp_path / "none")
