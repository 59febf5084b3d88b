"""A folder is written completely or not at all, and files of others are not deleted."""

import os
import shutil
from pathlib import Path

import pytest

from mailpact_contract_tool.folder.files import FolderError
from mailpact_contract_tool.publish.edition import CHECKSUMS, checksums
from mailpact_contract_tool.publish.writing import (
    NotPublishable,
    OutputFolderError,
    read_published,
    write_folder,
)


def listed(contents):
    return {**contents, CHECKSUMS: checksums(contents)}


FIRST = listed({"a.json": b"1", "old/b.json": b"2"})
SECOND = listed({"a.json": b"3", "new/c.json": b"4"})


def held(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


CONTRACTS = Path(__file__).parents[3] / "contracts"


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(CONTRACTS, tmp_path / "contracts")


def test_a_new_folder_holds_exactly_the_files(tmp_path):
    write_folder(tmp_path / "deep" / "out", FIRST)

    assert held(tmp_path / "deep" / "out") == FIRST


def test_an_earlier_run_is_replaced_with_nothing_of_it_left(tmp_path):
    write_folder(tmp_path, FIRST)
    write_folder(tmp_path, SECOND)

    assert held(tmp_path) == SECOND
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "new", CHECKSUMS}


@pytest.mark.parametrize("name", ["theirs.txt", "new/theirs.txt", "a.json"])
def test_what_is_somebodys_is_named_and_stays(tmp_path, name):
    write_folder(tmp_path, SECOND)
    (tmp_path / name).write_bytes(b"precious")
    before = held(tmp_path)

    with pytest.raises(OutputFolderError, match=name):
        write_folder(tmp_path, FIRST)
    assert held(tmp_path) == before


def test_a_pipe_and_a_link_of_somebodys_are_named_and_not_opened(tmp_path):
    for name, make in {"pipe": os.mkfifo, "link": lambda path: path.symlink_to("nowhere")}.items():
        out = tmp_path / name
        out.mkdir()
        make(out / "theirs")
        with pytest.raises(OutputFolderError, match="theirs"):
            write_folder(out, FIRST)


def test_what_fails_in_the_middle_leaves_what_was_there(tmp_path):
    write_folder(tmp_path, FIRST)

    with pytest.raises(OutputFolderError, match="cannot be written"):
        write_folder(tmp_path, {**SECOND, "longer than a name may be" * 20: b""})
    assert held(tmp_path) == FIRST


def test_a_failed_first_run_leaves_no_folder(tmp_path):
    with pytest.raises(OutputFolderError):
        write_folder(tmp_path / "out", {"a" * 300: b""})

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    (tmp_path / ".mailpact-x" / "new").mkdir(parents=True)
    (tmp_path / ".mailpact-x" / "new" / "a.json").write_bytes(b"half")

    write_folder(tmp_path, FIRST)
    assert held(tmp_path) == FIRST


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")

    with pytest.raises(OutputFolderError, match="cannot be written"):
        write_folder(tmp_path / "out", FIRST)


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("email/1/schema.json", None, r"email/1/schema\.json.* \(UNRELEASED_CHANGES\)"),
        ("email/1/history/1.0/schema.json", "{}", r"history.* \(PUBLISHED_VERSION_EDITED\)"),
        ("email/1/vectors/valid/minimal.json", "{", r"valid/minimal\.json.* \(EC-FILE-003\)"),
        ("email/1/vectors/valid/minimal.json", "[]", r"valid/minimal\.json.* \(EC-FILE-004\)"),
        ("topology.json", "{}", r"topology\.json.* \(EC-FILE-004\)"),
        ("index.json", '{"contracts": [{"name": "../..", "major": 1}]}', r"index\.json.* \(EC-FILE-004\)"),
    ],
)
def test_what_is_not_as_it_was_released_is_named_and_not_published(copied, path, text, said):
    before = (copied / path).read_text()
    (copied / path).write_text(f"{before}\n" if text is None else text)

    with pytest.raises(NotPublishable, match=said):
        read_published(copied)


@pytest.mark.parametrize("name", ["two\nlines.json", "\udcff.json", "é.json", "a b.json"])
def test_a_name_that_does_not_unpack_alike_everywhere_is_refused(copied, name):
    (copied / "email/1/vectors/valid" / name).write_text("{}")

    with pytest.raises(FolderError, match=r"rename the file") as caught:
        read_published(copied)
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


def test_drafts_and_strangers_are_not_published(copied):
    before = set(read_published(copied))
    (copied / "email/9").mkdir()
    (copied / "email/9/schema.json").write_text("{}")
    (copied / "email/1/schema.json~").write_text("{}")

    assert set(read_published(copied)) == before


def test_an_empty_folder_is_no_folder_of_contracts(tmp_path):
    with pytest.raises(NotPublishable, match=r"errors\.json: is missing.* \(EC-FILE-001\)"):
        read_published(tmp_path)
