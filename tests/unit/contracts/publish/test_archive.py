"""The tarball is reproducible, and each tool can read it."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_contract_tool.publish.archive import tarball

NAMES = st.text(st.sampled_from("abc-."), min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
TREES = st.dictionaries(NAMES, st.binary(max_size=200), max_size=5)


def unpacked(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


@given(TREES)
def test_what_was_packed_is_what_is_unpacked(files):
    assert unpacked(tarball(files, folder="top")) == {f"top/{name}": data for name, data in files.items()}


def test_the_order_of_the_files_makes_no_difference():
    one, other = {"a": b"1", "b": b"2"}, {"b": b"2", "a": b"1"}

    assert tarball(one, folder="x") == tarball(other, folder="x")


def test_no_member_says_who_packed_it_or_when():
    with tarfile.open(fileobj=io.BytesIO(tarball({"a/b.json": b"{}"}, folder="x"))) as archive:
        (member,) = archive

    facts = (member.mode, member.uid, member.gid, member.uname, member.gname, member.mtime, member.type)
    assert facts == (0o644, 0, 0, "", "", 0, tarfile.REGTYPE)


def test_a_path_may_be_of_any_length():
    path = "/".join(["long" * 20] * 10)

    assert unpacked(tarball({path: b"x"}, folder="top")) == {f"top/{path}": b"x"}


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_blocks_of_any_length_are_read_by_gzip(size):
    packed = tarball({"a": bytes(size)}, folder="x")

    assert len(gzip.decompress(packed)) >= size


def test_the_bytes_are_these_whatever_the_compressor_of_the_machine():
    packed = tarball({"a": b"hello"}, folder="x")

    assert packed[:10] == bytes.fromhex("1f8b0800000000000 0ff".replace(" ", ""))
    assert packed[10] == 1  # one stored block, the last
    assert packed[15:-8] == gzip.decompress(packed)
