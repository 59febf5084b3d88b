"""Hostile folders: each part of the tool raises its named refusals and nothing else."""

import os
from datetime import date
from pathlib import Path

import pytest

from mailpact.contracts.errors import CatalogueError
from mailpact_contract_tool.check.folders import compare_folders
from mailpact_contract_tool.check.reading import (
    UnreadableDocument,
    compare_documents,
    read_contracts,
    read_schema,
    read_topology,
    read_waivers,
)
from mailpact_contract_tool.check.versions import check
from mailpact_contract_tool.compare.document import SchemaError
from mailpact_contract_tool.folder.files import FolderError, read_files
from mailpact_contract_tool.lint.folder import lint
from mailpact_contract_tool.release.draft import draft
from mailpact_contract_tool.release.plan import plan_release

EVERY = "MAILPACT_TEST_SIBLING_PAIRS" in os.environ  # set by `make test-faults`
SHARE = (
    8  # of the files of a folder, one in so many is damaged by one document; the documents share the files
)
DOCUMENTS = [
    b"",
    b"{",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"[]",
    b"null",
    b"1e999",
    b'{"a": NaN}',
    b'"\xed\xa0\x80"',
    b"[" * 5000,
    b'{"a":' * 5000,
    b"9" * 5000,
    b'{"type": "object", "type": "string"}',
    b'{"type": 5, "contracts": 5, "exchanges": 5, "errors": 5, "waivers": [5]}',
    b'{"contracts": [{}], "exchanges": [{}], "queues": [[]], "bindings": [null], "errors": [{}], "waivers": [{}]}',
    b"\x00" * 100,
    b'{"' + b"a" * 1_100_000 + b'": 1}',
]


def looked_at(folder: Path, other: Path) -> None:
    """Ask each part of the tool about a folder; only the named refusals may be raised."""
    files, sound = read_files(folder), read_files(other)
    lint(files)
    for question in (
        lambda: check(read_contracts(files), read_topology(files), read_waivers(files), date(2030, 1, 1)),
        lambda: compare_folders(files, sound),
        lambda: compare_folders(sound, files, raw=True),
        lambda: plan_release(files, "order/1"),
        lambda: draft(files, "order/1", b"{}"),
    ):
        try:
            question()
        except (UnreadableDocument, CatalogueError, SchemaError) as refused:
            assert str(refused)  # noqa: PT017  # any of these may be raised


@pytest.fixture
def folders(tmp_path, sound):
    """Return two folders with the same sound contract."""
    for name in ("one", "two"):
        for path, body in sound.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
    return tmp_path / "one", tmp_path / "two"


@pytest.mark.heavy
@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_a_damaged_file_raises_only_what_is_named(folders, number: int) -> None:
    folder, other = folders
    every = sorted(other.rglob("*.json"))
    for path in every if EVERY else every[number % SHARE :: SHARE]:
        target = folder / path.relative_to(other)
        target.write_bytes(DOCUMENTS[number])

        looked_at(folder, other)

        target.write_bytes(path.read_bytes())
    (folder / "compat-waivers.json").write_bytes(DOCUMENTS[number])
    looked_at(folder, other)


def test_links_pipes_and_strange_names_are_survived(folders) -> None:
    folder, other = folders
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to("/nowhere/at/all")
    (folder / "self.json").symlink_to("self.json")
    os.mkfifo(folder / "pipe.json")
    os.mkdir(os.fsencode(folder) + b"/\xff\xfe")
    with open(os.fsencode(folder) + b"/\xff\xfe/schema.json", "wb") as file:
        file.write(b"{}")
    (folder / "a\nb").mkdir()
    (folder / "a\nb" / "schema.json").write_text("{}")

    looked_at(folder, other)

    assert all(path.isprintable() or "\n" in path for path in read_files(folder))


def test_a_folder_of_too_many_files_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("mailpact_contract_tool.folder.files.MOST_FILES", 10)
    for number in range(12):
        (tmp_path / f"{number}.json").write_text("{}")

    with pytest.raises(FolderError, match="more than 10 files"):
        read_files(tmp_path)


@pytest.mark.parametrize("body", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_two_files_raise_only_what_is_named(body: bytes) -> None:
    files = {"old": body, "new": b"{}"}
    try:
        compare_documents(read_schema(files, "old"), read_schema(files, "new"), "old", "new")
    except UnreadableDocument as refused:
        assert "old" in str(refused)  # noqa: PT017  # some of the documents can be compared
