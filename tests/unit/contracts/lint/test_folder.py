"""A whole folder: a sound folder has no finding, and an unreadable file is one finding without a traceback."""

import json
import time

import pytest

from mailpact_contract_tool.folder.files import read_files
from mailpact_contract_tool.lint.folder import lint
from mailpact_contract_tool.lint.rules import LintRule


def rules(findings):
    """Return the rules of findings, each once."""
    return {finding.rule for finding in findings}


def test_sound_folder_has_no_findings(sound):
    assert lint(sound) == []


@pytest.mark.heavy
def test_our_own_contracts_have_no_findings(published):
    assert lint(read_files(published)) == []


def test_members_that_no_rule_needs_are_let_through(sound):
    document = json.loads(sound["topology.json"])
    for row in (*document["exchanges"], *document["queues"], *document["bindings"]):
        row["note"] = "for people"
    sound["topology.json"] = json.dumps(document).encode()

    assert lint(sound) == []


def test_findings_are_sorted_and_the_same_each_time(sound):
    del sound["order/1/binding.json"]
    sound["topology.json"] = b"[]"

    findings = lint(sound)

    assert findings == sorted(findings)
    assert findings == lint(dict(reversed(sound.items())))


@pytest.mark.parametrize(
    ("path", "content", "rule"),
    [
        ("order/1/schema.json", None, LintRule.FILE_MISSING),
        ("order/1/schema.json", b"", LintRule.FILE_NOT_JSON),
        ("order/1/schema.json", b"\xff\xfe", LintRule.FILE_NOT_JSON),
        ("order/1/schema.json", b"{", LintRule.FILE_NOT_JSON),
        ("order/1/schema.json", b"[" * 10_000 + b"]" * 10_000, LintRule.FILE_NOT_JSON),
        ("order/1/schema.json", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, LintRule.FILE_NOT_JSON),
        ("order/1/schema.json", b'{"type": "object", "type": "array"}', LintRule.FILE_NOT_JSON),
        ("order/1/schema.json", b" " * 10_000_000, LintRule.FILE_TOO_LARGE),
        ("order/1/schema.json", b"[]", LintRule.FILE_MALFORMED),
        ("order/1/schema.json", b"true", LintRule.FILE_MALFORMED),
        ("order/1/schema.json", {"type": "object"}, LintRule.SCHEMA_NOT_2020_12),
        ("order/1/binding.json", {}, LintRule.FILE_MALFORMED),
        ("order/1/vectors/valid/minimal.json", b"{}", LintRule.FILE_MALFORMED),
        ("order/1/vectors/valid/minimal.json", b"null", LintRule.FILE_MALFORMED),
        ("index.json", {"contracts": 1}, LintRule.FILE_MALFORMED),
        ("index.json", None, LintRule.FILE_MISSING),
        ("topology.json", {"exchanges": [], "queues": [{}], "bindings": []}, LintRule.FILE_MALFORMED),
        ("errors.json", b"{}", LintRule.FILE_MALFORMED),
    ],
    ids=lambda value: str(value)[:24],
)
def test_file_that_cannot_be_used_is_one_finding_that_names_it(found, path, content, rule):
    findings = [finding for finding in found(path, content) if finding.file == path]

    assert rule in rules(findings)
    assert rules(findings) <= {rule, LintRule.UNRELEASED_CHANGES}


def test_draft_of_another_year_is_named_with_its_place(found):
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}

    (finding,) = [f for f in found("order/1/schema.json", schema) if f.rule == LintRule.SCHEMA_NOT_2020_12]

    assert finding.pointer == "/$schema"


@pytest.mark.heavy
def test_hostile_schema_is_judged_in_bounded_time(found):
    deep: object = {"type": "string", "pattern": "^(?:(?:a|a)*)*$"}
    for _ in range(20):
        deep = {
            "type": "object",
            "properties": {"a": deep, "b": {"type": "string", "pattern": "^" + "a?" * 900 + "$"}},
        }
    began = time.process_time()

    findings = found(
        "order/1/schema.json", {"$schema": "https://json-schema.org/draft/2020-12/schema", **deep}
    )

    assert LintRule.PATTERN_EXPLODES in rules(findings)
    assert time.process_time() - began < 20


@pytest.mark.heavy
def test_schema_of_very_many_subschemas_is_judged_in_bounded_time(found):
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {f"p{number}": {"type": "string", "maxLength": 5} for number in range(15_000)},
    }
    began = time.process_time()

    findings = found("order/1/schema.json", schema)

    assert LintRule.KEYWORD_UNTRIED in rules(findings)
    assert time.process_time() - began < 20


def test_vector_of_very_many_bytes_is_not_made(found):
    vector = {"description": "Big.", "body_pieces": [{"text": "x" * 1000, "times": 4_000_000}]}

    findings = found("order/1/vectors/valid/minimal.json", vector)

    assert LintRule.FILE_TOO_LARGE in rules(findings)


def test_contract_of_a_later_major_is_found_by_its_folder(sound):
    for name in ("schema.json", "writer.schema.json", "binding.json"):
        sound[f"order/2/{name}"] = sound[f"order/1/{name}"]

    findings = lint(sound)

    unreleased = {finding.file for finding in findings if finding.rule == LintRule.UNRELEASED_CHANGES}
    assert unreleased == {f"order/2/{name}" for name in ("schema.json", "writer.schema.json", "binding.json")}


def test_template_needs_no_binding(sound):
    for name in ("schema.json", "writer.schema.json"):
        sound[f"template/hello/1/{name}"] = sound[f"order/1/{name}"]

    assert LintRule.FILE_MISSING not in rules(lint(sound))


def test_history_that_is_edited_removed_or_added_is_named(sound):
    edited = {**sound, "order/1/history/1.0/schema.json": b"{}"}
    removed = {path: body for path, body in sound.items() if path != "order/1/history/1.0/binding.json"}
    added = {**sound, "order/1/history/1.0/note.txt": b"hello"}

    for files, path in (
        (edited, "order/1/history/1.0/schema.json"),
        (removed, "order/1/history/1.0/binding.json"),
        (added, "order/1/history/1.0/note.txt"),
    ):
        named = [finding.file for finding in lint(files) if finding.rule == LintRule.PUBLISHED_VERSION_EDITED]
        assert named == [path]


def test_whole_contract_that_is_gone_is_named(sound):
    files = {path: body for path, body in sound.items() if not path.startswith("order/")}

    findings = lint(files)

    assert {finding.file for finding in findings if finding.rule == LintRule.PUBLISHED_VERSION_EDITED} == {
        file["path"] for file in json.loads(sound["index.json"])["contracts"][0]["files"]
    }
