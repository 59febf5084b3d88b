"""Mail data ends at CRLF dot CRLF and at nothing else, however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_capture.data import DataReader, Refusal


def read(
    wire: bytes, *, cuts: int = 1, max_bytes: int = 10_000, max_line_bytes: int = 1_000
) -> tuple[DataReader, bytes | None]:
    """Feed the bytes in pieces of `cuts`; return the reader and its last result."""
    reader = DataReader(max_bytes=max_bytes, max_line_bytes=max_line_bytes)
    rest = None
    for at in range(0, len(wire), cuts):
        rest = reader.feed(wire[at : at + cuts])
        if rest is not None:
            return reader, rest + wire[at + cuts :]
    return reader, rest


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),
        (b"hello\r\n.\r\n", b"hello\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...x\r\n.\r\n", b"..x\r\n"),
        (b"a\n.\n\r\n.\r\n", b"a\n.\n\r\n"),
        (b"a\r.\r\r\n.\r\n", b"a\r.\r\r\n"),
        (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n"),
        (b"\0\xff\r\n.\r\n", b"\0\xff\r\n"),
    ],
)
@pytest.mark.parametrize("cuts", [1, 2, 3, 100])
def test_only_crlf_dot_crlf_ends_the_data(wire: bytes, content: bytes, cuts: int) -> None:
    reader, rest = read(wire + b"QUIT\r\n", cuts=cuts)

    assert (reader.content(), rest) == (content, b"QUIT\r\n")


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\r\n" not in line)), st.integers(1, 7))
def test_what_was_stuffed_comes_out_as_it_was(lines: list[bytes], cuts: int) -> None:
    content = b"".join(line.rstrip(b"\r") + b"\r\n" for line in lines)
    wire = b"".join(
        (b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in content.split(b"\r\n")[:-1]
    )

    reader, rest = read(wire + b".\r\n", cuts=cuts)

    assert (reader.refusal, reader.content(), rest) == (None, content, b"")


def test_mail_over_the_limit_is_refused_and_read_to_its_end() -> None:
    reader, rest = read(b"12345678\r\n" * 10 + b".\r\nRSET\r\n", cuts=5, max_bytes=50)

    assert (reader.refusal, rest) == (Refusal.TOO_LARGE, b"RSET\r\n")


def test_endless_line_is_refused_before_it_is_kept() -> None:
    reader, _ = read(b"x" * 5000, cuts=100, max_line_bytes=200)

    assert reader.refusal is Refusal.LINE_TOO_LONG
    assert len(reader._buffer) < 500


def test_line_of_just_the_limit_is_taken() -> None:
    reader, _ = read(b"x" * 200 + b"\r\n.\r\n", cuts=7, max_line_bytes=200)

    assert reader.refusal is None
