"""`mailpact contracts diff` and `check`, as a person or a script calls them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts import catalogue

PUBLISHED = catalogue.installed_folder()


def mailpact(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mailpact_cli", "contracts", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file and returns its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_diff_prints_one_object_with_verdicts_rules_and_documents(
    written: Callable[[str, str], Path],
) -> None:
    old = written("old.json", '{"type": "string", "maxLength": 3}')
    new = written("new.json", '{"type": "string", "maxLength": 2}')

    done = mailpact("diff", old, new, "--json")

    assert json.loads(done.stdout) == {
        "backward": "breaking",
        "forward": "compatible",
        "full": "breaking",
        "changes": [
            {
                "rule": "MAX_LENGTH_DECREASED",
                "pointer": "/maxLength",
                "backward": "breaking",
                "forward": "compatible",
                "witness_backward": "aaa",
                "witness_forward": None,
            }
        ],
    }
    assert (done.returncode, done.stderr) == (1, "")


def test_diff_shows_people_the_rule_and_the_document(written: Callable[[str, str], Path]) -> None:
    done = mailpact(
        "diff", written("old.json", '{"type": "string"}'), written("new.json", '{"type": "null"}')
    )

    assert "TYPE_CHANGED" in done.stdout
    assert 'TYPE_CHANGED /type: old accepts, new refuses: ""' in done.stdout
    assert "backward breaking" in done.stdout


def test_diff_of_a_contract_with_what_was_published_compares_all_its_files() -> None:
    done = mailpact("diff", PUBLISHED / "email/1/history/1.0", PUBLISHED / "email/1", "--json")

    assert json.loads(done.stdout)["full"] == "compatible"
    assert done.returncode == 0


def changed_contract(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Return the folder of email/1 with a change in both of its schemas."""
    new = tmp_path / "new"
    shutil.copytree(PUBLISHED / "email/1", new)
    for name in ("schema.json", "writer.schema.json"):
        schema = json.loads((new / name).read_text())
        change(schema)
        (new / name).write_text(json.dumps(schema))
    return new


def test_diff_of_two_folders_takes_an_optional_member_for_compatible_as_check_does(tmp_path: Path) -> None:
    new = changed_contract(tmp_path, lambda schema: schema["properties"].update(lang={"type": "string"}))

    done = mailpact("diff", new / "history/1.0", new, "--json")
    raw = mailpact("diff", new / "history/1.0", new, "--json", "--raw")

    found = json.loads(done.stdout)
    assert (done.returncode, found["full"]) == (0, "compatible")
    assert [change["pointer"] for change in found["changes"]] == [
        "schema.json#/properties/lang",
        "writer.schema.json#/properties/lang",
    ]
    assert (raw.returncode, json.loads(raw.stdout)["full"]) == (1, "breaking")


def test_diff_of_two_folders_tells_readers_and_writers_apart(tmp_path: Path) -> None:
    new = changed_contract(tmp_path, lambda schema: schema["properties"]["message"].update(minLength=5))

    done = mailpact("diff", new / "history/1.0", new, "--json")

    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (found["backward"], found["forward"]) == ("breaking", "compatible")
    (change,) = (change for change in found["changes"] if change["backward"] == "breaking")
    assert (change["rule"], change["pointer"]) == (
        "MIN_LENGTH_INCREASED",
        "schema.json#/properties/message/minLength",
    )
    assert len(change["witness_backward"]["message"]) < 5


def test_diff_names_the_file_that_one_folder_has_not(tmp_path: Path) -> None:
    new = changed_contract(tmp_path, lambda _: None)
    (new / "writer.schema.json").unlink()

    done = mailpact("diff", PUBLISHED / "email/1", new)

    assert (done.returncode, done.stdout) == (2, "")
    assert "writer.schema.json: is missing in the new folder" in done.stderr


def test_diff_of_boolean_schemas_is_answered(written: Callable[[str, str], Path]) -> None:
    done = mailpact("diff", written("old.json", "true"), written("new.json", "false"), "--json")

    assert (done.returncode, json.loads(done.stdout)["backward"]) == (1, "breaking")


def test_diff_of_all_contracts_names_the_file_before_the_pointer(tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path / "new")
    binding = tmp_path / "new/email/1/binding.json"
    binding.write_text(binding.read_text().replace("65536", "1024"))

    changes = json.loads(mailpact("diff", PUBLISHED, tmp_path / "new", "--json").stdout)["changes"]

    assert [(change["rule"], change["pointer"]) for change in changes] == [
        ("MAX_BODY_BYTES_DECREASED", "email/1/binding.json#/limits/max_body_bytes")
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "bad.json: not JSON at line 1"),
        ("[]", "bad.json: holds no JSON object"),
        ('{"$schema": "http://json-schema.org/draft-04/schema#"}', "bad.json: at /$schema: "),
        (
            '{"items": {"$ref": "#/$defs/a"}}',
            "bad.json: at /$defs/a: a $ref points here, where the document has no value",
        ),
        ('{"$ref": "https://example.org/a"}', "bad.json: at /$ref: "),
        ('{"not":' * 10_000 + "{}" + "}" * 10_000, "bad.json: nested deeper than 64"),
        (f'{{"title": "{"x" * 10_000_000}"}}', "bad.json: the body has"),
    ],
    ids=["no JSON", "no object", "draft-04", "lost reference", "remote reference", "10,000 deep", "10 MB"],
)
def test_bad_schema_is_one_line_with_file_and_place(
    written: Callable[[str, str], Path], text: str, fault: str
) -> None:
    done = mailpact("diff", written("good.json", "{}"), written("bad.json", text))

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert fault in done.stderr


def test_check_passes_what_is_installed() -> None:
    done = mailpact("check", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["passes"] is True


def test_check_fails_with_the_version_and_the_document(tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path / "new")
    schema = tmp_path / "new/email/1/schema.json"
    schema.write_text(schema.read_text().replace('"minLength": 1', '"minLength": 2'))

    done = mailpact("check", "--contracts", tmp_path / "new")

    assert done.returncode == 1
    assert "email/1  writers of 1.0 to readers of today: breaking" in done.stdout
    assert (
        "MIN_LENGTH_INCREASED schema.json#/properties/message/minLength: old accepts, new refuses: "
        in done.stdout
    )


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("index.json", '{"contracts": 5}', "index.json: at /contracts: is not of the published form"),
        ("email/1/binding.json", '{"exchange": 5}', "email/1/binding.json: at "),
        ("topology.json", "[]", "topology.json: holds no JSON object"),
        (
            "topology.json",
            '{"exchanges": [5], "queues": [], "bindings": []}',
            "topology.json: at /exchanges/0",
        ),
        ("email/1/schema.json", '{"type": 5}', "email/1 1.0, schema.json: at /type: "),
        ("email/1/schema.json", "", "email/1/schema.json: not JSON"),
        ("compat-waivers.json", "{}", "compat-waivers.json: at the top: is not of the published form"),
    ],
)
def test_check_names_the_file_that_it_cannot_read(tmp_path: Path, file: str, text: str, fault: str) -> None:
    shutil.copytree(PUBLISHED, tmp_path / "new")
    (tmp_path / "new" / file).write_text(text)

    done = mailpact("check", "--contracts", tmp_path / "new")

    assert (done.returncode, done.stdout) == (2, "")
    assert fault in done.stderr
    assert len(done.stderr.splitlines()) == 1
