"""`mailpact contracts lint` and `release`: text output for people, JSON and exit codes for scripts."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.command import run

ROOT = Path(__file__).parents[3]


def contracts(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `mailpact contracts …` on a folder, to its end."""
    return run("contracts", *arguments, "--contracts", str(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a writable copy of our own contracts on a path with a space."""
    return Path(shutil.copytree(ROOT / "contracts", tmp_path / "our contracts"))


def retitle(folder: Path) -> None:
    """Change only words in a contract."""
    schema = folder / "email" / "1" / "schema.json"
    schema.write_text(schema.read_text().replace("email/1, for readers", "One mail, for readers"))


def test_our_own_contracts_are_clean(folder: Path) -> None:
    done = contracts("lint", folder=folder)

    assert (done.returncode, done.stdout, done.stderr) == (0, "no findings\n", "")


def test_findings_are_grouped_by_file_and_exit_1(folder: Path) -> None:
    history = folder / "email" / "1" / "history" / "1.0" / "schema.json"
    history.write_text(history.read_text() + "\n")

    done = contracts("lint", folder=folder)

    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert "email/1/history/1.0/schema.json" in lines
    assert any(line.startswith("  PUBLISHED_VERSION_EDITED  ") for line in lines)
    assert re.fullmatch(r"\d findings\. Each rule is explained in contract_tool/rules/lint/.*", lines[-1])


def test_json_names_rule_file_pointer_and_page(folder: Path) -> None:
    (folder / "topology.json").write_text('{"exchanges": [], "queues": [{}], "bindings": []}')

    done = contracts("lint", "--json", folder=folder)

    findings = json.loads(done.stdout)["findings"]
    assert (done.returncode, done.stderr) == (1, "")
    assert all(set(row) == {"rule", "file", "pointer", "message", "page"} for row in findings)
    assert all((ROOT / row["page"]).is_file() for row in findings)
    assert ("topology.json", "/queues/0") in {(row["file"], row["pointer"]) for row in findings}


def test_folder_that_is_none_exits_2(folder: Path) -> None:
    done = contracts("lint", folder=folder / "nowhere")

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"mailpact: .*nowhere is not a folder.*\n", done.stderr)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("email/1/schema.json", b'{"a":' * 10_000),
        ("email/1/schema.json", b" " * 10_485_760),
        ("index.json", b"{"),
        ("topology.json", b"[]"),
    ],
    ids=["nested 10,000 deep", "10 MiB", "not JSON", "no object"],
)
def test_bad_file_is_named_without_a_traceback(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    began = time.monotonic()

    done = contracts("lint", folder=folder)

    assert (done.returncode, done.stderr) == (1, "")
    assert name in done.stdout.splitlines()
    assert time.monotonic() - began < 30


def test_release_writes_the_version_and_lint_is_clean_again(folder: Path) -> None:
    retitle(folder)
    assert "UNRELEASED_CHANGES" in contracts("lint", folder=folder).stdout

    done = contracts("release", "email/1", folder=folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "released email/1 as version 1.1"
    assert contracts("lint", folder=folder).stdout == "no findings\n"
    entry = (folder / "email" / "1" / "CHANGELOG.md").read_text().partition("## 1.1")[2].partition("## ")[0]
    assert "`DESCRIPTION_CHANGED`" in entry


def test_release_of_nothing_exits_1_and_writes_nothing(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    done = contracts("release", "email/1", folder=folder)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "mailpact: nothing has changed in email/1 since version 1.0: nothing to release\n"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_release_that_cannot_be_written_says_how_to_go_on(folder: Path) -> None:
    retitle(folder)
    (folder / "email" / "1" / "history" / "1.1").write_text("in the way")

    done = contracts("release", "email/1", folder=folder)

    assert done.returncode == 1
    assert re.fullmatch(
        r"mailpact: .*1\.1: File exists; correct this and run the same command again\n", done.stderr
    )
