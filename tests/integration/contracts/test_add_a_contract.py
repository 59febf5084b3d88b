"""`docs/how-to/add-a-contract.md`, followed literally, and what `contracts new` does with other folders."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/how-to/add-a-contract.md"
STEP = re.compile(r"(?:Save as `(?P<file>[^`]+)`:\n\n)?```(?P<kind>sh|json)\n(?P<text>.*?)```", re.DOTALL)


def shell(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run commands as a person types them, with the `mailpact` of this checkout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # the tests' own
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.timeout(300)
def test_the_page_followed_literally_ends_with_two_released_versions(tmp_path: Path) -> None:
    outputs = []
    for step in STEP.finditer(PAGE.read_text()):
        if step["kind"] == "json":
            (tmp_path / step["file"]).write_text(step["text"])
        else:
            done = shell(tmp_path, step["text"])
            assert done.returncode == 0, f"{step['text']}\n{done.stdout}\n{done.stderr}"
            outputs.append(done.stdout)

    (entry,) = json.loads((tmp_path / "contracts/index.json").read_text())["contracts"]
    assert (entry["name"], entry["version"]) == ("order", "1.1")
    assert any("PROPERTY_ADDED_OPTIONAL" in output and "breaking" not in output for output in outputs)
    assert "no findings" in outputs[-1]


def findings(folder: Path) -> list[dict[str, str]]:
    done = shell(folder, "mailpact contracts lint --json --contracts contracts || true")
    found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return found


def test_draft_has_no_findings_but_that_it_is_unreleased(tmp_path: Path) -> None:
    done = shell(tmp_path, "mailpact contracts new order --contracts contracts")

    assert done.returncode == 0
    assert {found["rule"] for found in findings(tmp_path)} == {"UNRELEASED_CHANGES"}


def test_draft_keeps_what_is_there_and_derives_the_readers_schema(tmp_path: Path) -> None:
    shell(tmp_path, "mailpact contracts new order/2 --contracts contracts")
    writer = tmp_path / "contracts/order/2/writer.schema.json"
    schema = json.loads(writer.read_text())
    schema["properties"]["kind"] = {"type": "string", "enum": ["a", "b"]}
    writer.write_text(json.dumps(schema))
    binding = (tmp_path / "contracts/order/2/binding.json").read_bytes()

    done = shell(tmp_path, "mailpact contracts new order/2 --contracts contracts")

    assert done.returncode == 0
    reader = json.loads((tmp_path / "contracts/order/2/schema.json").read_text())
    assert "additionalProperties" not in reader
    assert reader["properties"] == schema["properties"]
    assert json.loads(writer.read_text()) == schema
    assert (tmp_path / "contracts/order/2/binding.json").read_bytes() == binding
    assert {found["rule"] for found in findings(tmp_path)} == {"UNRELEASED_CHANGES"}


@pytest.mark.parametrize("name", ["Or der", "../order", "order/0", "order/1/", ""])
def test_invalid_name_is_a_usage_error(tmp_path: Path, name: str) -> None:
    done = shell(tmp_path, f"mailpact contracts new '{name}' --contracts contracts")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "contracts/order").exists()


def test_released_contract_is_not_drafted_again(tmp_path: Path) -> None:
    commands = (
        "mailpact contracts new order --contracts c && mailpact contracts release order/1 --contracts c"
    )
    assert shell(tmp_path, commands).returncode == 0

    done = shell(tmp_path, "mailpact contracts new order --contracts c")

    assert (done.returncode, done.stdout) == (1, "")
    assert "order/1 was released" in done.stderr


def test_vector_without_a_type_is_one_clear_finding(tmp_path: Path) -> None:
    shell(tmp_path, "mailpact contracts new order --contracts contracts")
    path = tmp_path / "contracts/order/1/vectors/valid/minimal.json"
    vector = json.loads(path.read_text())
    del vector["properties"]
    path.write_text(json.dumps(vector))

    (found,) = (found for found in findings(tmp_path) if found["rule"] != "UNRELEASED_CHANGES")

    assert found["file"] == "order/1/vectors/valid/minimal.json"
    assert "states no type" in found["message"]


def test_keyword_without_a_vector_is_reported_once_for_both_schemas(tmp_path: Path) -> None:
    shell(tmp_path, "mailpact contracts new order --contracts contracts")
    (tmp_path / "contracts/order/1/vectors/invalid/properties-id-maxLength.json").unlink()

    untried = [found for found in findings(tmp_path) if found["rule"] == "EC-VECT-004"]

    assert [found["pointer"] for found in untried] == ["/properties/id/maxLength"]
