"""A release: its plan, its refusals, and the folder after a crash in the middle."""

import json
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts.errors import UnknownContractError
from mailpact_contract_tool.folder.files import read_files
from mailpact_contract_tool.folder.writing import write_files
from mailpact_contract_tool.lint.folder import lint
from mailpact_contract_tool.lint.rules import LintRule
from mailpact_contract_tool.release.plan import Release, ReleaseRefused, plan_release

SCHEMAS = ("order/1/schema.json", "order/1/writer.schema.json")


def edited(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """Return the files with members of both schemas changed."""
    result = dict(files)
    for path in SCHEMAS:
        result[path] = f"{json.dumps({**json.loads(files[path]), **changes}, indent=2)}\n".encode()
    return result


def written(files: dict[str, bytes], release: Release) -> dict[str, bytes]:
    """Return the files after a release."""
    return {**files, **dict(release.files)}


def save(files: dict[str, bytes], root: Path) -> None:
    """Write files to a folder."""
    for path, body in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(body)


def test_changed_words_become_the_next_minor_version_and_leave_nothing_to_say(sound):
    files = edited(sound, title="An order")

    after = written(files, plan_release(files, "order/1"))

    assert lint(after) == []
    assert after["order/1/history/1.1/schema.json"] == files["order/1/schema.json"]
    assert json.loads(after["index.json"])["contracts"][0]["version"] == "1.1"
    assert after["order/1/CHANGELOG.md"].decode().splitlines()[2:6] == [
        "## 1.1",
        "",
        "- `DESCRIPTION_CHANGED` at `/title`, for readers and writers",
        "",
    ]


def test_release_is_the_same_each_time(sound):
    files = edited(sound, title="An order")

    assert plan_release(files, "order/1") == plan_release(dict(reversed(files.items())), "order/1")


def test_index_is_written_last(sound):
    release = plan_release(edited(sound, title="An order"), "order/1")

    assert [path for path, _ in release.files][-2:] == ["order/1/CHANGELOG.md", "index.json"]


def test_versions_follow_each_other(sound):
    files = sound
    for title in ("one", "two", "three"):
        files = edited(files, title=title)
        files = written(files, plan_release(files, "order/1"))

    assert lint(files) == []
    assert json.loads(files["index.json"])["contracts"][0]["version"] == "1.3"


def test_nothing_changed_is_refused(sound):
    with pytest.raises(ReleaseRefused, match=r"nothing has changed in order/1 since version 1\.0"):
        plan_release(sound, "order/1")


def test_unknown_contract_is_refused_with_those_that_there_are(sound):
    with pytest.raises(UnknownContractError, match=r"'fax/1'.*order/1"):
        plan_release(sound, "fax/1")


def test_new_contract_begins_with_its_zeroth_version(sound):
    files = dict(sound)
    for path, body in sound.items():
        if path.startswith("order/1/") and "/history/" not in path:
            files[path.replace("order/1", "order/2")] = body.replace(b"order/1", b"order/2").replace(
                b"order.v1", b"order.v2"
            )
    del files["order/2/CHANGELOG.md"]

    release = plan_release(files, "order/2")

    assert release.version == "2.0"
    assert lint(written(files, release)) == []


def test_added_optional_member_is_a_minor_version(sound):
    properties = json.loads(sound["order/1/schema.json"])["properties"]
    files = edited(sound, properties={**properties, "note": {"type": "string", "maxLength": 9}})
    for name, note, keyword in (("note-type", 1, "type"), ("note-long", "x" * 10, "maxLength")):
        files[f"order/1/vectors/invalid/{name}.json"] = json.dumps(
            {
                "description": "Breaks it.",
                "body": json.dumps({"id": "a", "note": note}),
                "error": {"code": "schema", "pointer": "/note", "keyword": keyword},
            }
        ).encode()

    release = plan_release(files, "order/1")

    assert release.version == "1.1"
    entry = dict(release.files)["order/1/CHANGELOG.md"].decode().partition("## 1.0")[0]
    assert "- `PROPERTY_ADDED_OPTIONAL_CLOSED` at `/properties/note`, for writers" in entry


def test_exchange_that_moves_is_refused(sound):
    files = dict(sound)
    files["order/1/binding.json"] = sound["order/1/binding.json"].replace(b'"orders"', b'"orders.dlx"')

    with pytest.raises(ReleaseRefused) as refused:
        plan_release(files, "order/1")

    assert any("EXCHANGE_CHANGED" in reason for reason in refused.value.reasons)


def test_change_that_breaks_somebody_is_refused_with_the_reason(sound):
    files = edited(sound, required=["id", "more"], properties={"id": True, "more": True})

    with pytest.raises(ReleaseRefused, match="would break a program") as refused:
        plan_release(files, "order/1")

    assert refused.value.reasons


def test_what_the_linter_finds_is_refused(sound):
    files = edited(sound, titel="An order", title="An order")

    with pytest.raises(ReleaseRefused) as refused:
        plan_release(files, "order/1")

    assert refused.value.reasons


def test_edit_of_what_was_published_is_refused(sound):
    files = edited(sound, title="An order") | {"order/1/history/1.0/binding.json": sound["errors.json"]}

    with pytest.raises(ReleaseRefused) as refused:
        plan_release(files, "order/1")

    assert any(LintRule.PUBLISHED_VERSION_EDITED in reason for reason in refused.value.reasons)


def test_changes_of_other_contracts_wait_for_their_own_release(sound):
    files = edited(sound, title="An order")
    for name in ("schema.json", "writer.schema.json"):
        files[f"template/hello/1/{name}"] = sound[f"order/1/{name}"]
    for path in [path for path in sound if path.startswith("order/1/vectors/")]:
        files[path.replace("order/1", "template/hello/1")] = sound[path]

    assert plan_release(files, "order/1").version == "1.1"


def test_entry_for_the_next_version_written_by_hand_is_refused(sound):
    files = edited(sound, title="An order")
    files["order/1/CHANGELOG.md"] = b"# Changes\n\n## 1.1\n\nMine.\n\n## 1.0\n\nThe first.\n"

    with pytest.raises(ReleaseRefused, match=r"has an entry for 1\.1 already"):
        plan_release(files, "order/1")


def test_release_that_was_interrupted_anywhere_is_finished_by_running_it_again(sound, tmp_path):
    files = edited(sound, title="An order")
    release = plan_release(files, "order/1")
    complete = written(files, release)
    for count in range(len(release.files) + 1):
        root = tmp_path / str(count)
        save(files, root)
        write_files(root, release.files[:count])

        if count < len(release.files):
            found = {finding.rule for finding in lint(read_files(root))}
            assert found & {LintRule.UNRELEASED_CHANGES, LintRule.PUBLISHED_VERSION_EDITED}
            write_files(root, plan_release(read_files(root), "order/1").files)

        assert read_files(root) == complete


def test_hidden_leftovers_of_a_crash_are_nobodys_files(sound, tmp_path):
    save(sound, tmp_path)
    (tmp_path / ".index.json.new").write_bytes(b"half")

    assert read_files(tmp_path) == sound
