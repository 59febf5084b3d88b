"""Replies of any form are read; a command or mail cannot contain a second command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_consumer.smtp_grammar import (
    KEPT_LINE_BYTES,
    KEPT_LINES,
    MAX_REPLY_BYTES,
    Reply,
    ReplyParser,
    ReplyTooLong,
    command,
    extensions,
    mail_data,
)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"250 OK\r\n", Reply(250, ("OK",))),
        (b"250 OK\n", Reply(250, ("OK",))),
        (b"250\r\n", Reply(250, ("",))),
        (b"250 \r\n", Reply(250, ("",))),
        (b"250\tOK\r\n", Reply(250, ("OK",))),
        (b"250OK\r\n", Reply(250, ("OK",))),
        (b"250-one\r\n250-two\r\n250 three\r\n", Reply(250, ("one", "two", "three"))),
        (b"250-\r\n250\r\n", Reply(250, ("", ""))),
        ("250 Grüße\r\n".encode(), Reply(250, ("Grüße",))),
        (b"250 \xff\xfe\r\n", Reply(250, ("\ufffd\ufffd",))),
        (b"550 a\x00b\x1b[31m\r\n", Reply(550, ("a b [31m",))),
        (b"\r\n", Reply(0)),
        (b"hello\r\n", Reply(0)),
        (b"2500 OK\r\n", Reply(0)),
        (b"25 OK\r\n", Reply(0)),
        (b" 250 OK\r\n", Reply(0)),
        (b"+25 OK\r\n", Reply(0)),
        ("٢٥٠ OK\r\n".encode(), Reply(0)),
    ],
)
def test_reply_is_read_or_told_to_be_none(sent: bytes, expected: Reply) -> None:
    assert ReplyParser().feed(sent) == [expected]


def test_lines_with_different_codes_are_no_reply() -> None:
    (reply,) = ReplyParser().feed(b"250-yes\r\n550 no\r\n")

    assert reply.code == 0


@given(st.lists(st.integers(1, 30), max_size=20))
def test_replies_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    sent = b"250-first\r\n250 second\r\n\r\n354 go\r\n250 \xc3\xbc\r\n"
    parser, replies, rest = ReplyParser(), [], sent
    for cut in cuts:
        replies += parser.feed(rest[:cut])
        rest = rest[cut:]
    replies += parser.feed(rest)

    assert replies == ReplyParser().feed(sent)


@pytest.mark.parametrize("length", [KEPT_LINE_BYTES, 9_000, 500_000])
def test_first_digit_of_a_very_long_reply_counts(length: int) -> None:
    one_line = ReplyParser().feed(b"250 " + b"x" * length + b"\r\n")
    many_lines = ReplyParser().feed(b"250-queued\r\n" * (length // 12) + b"250 as 1\r\n")

    assert [reply.code for reply in one_line + many_lines] == [250, 250]
    assert len(one_line[0].text) < KEPT_LINE_BYTES
    assert len(many_lines[0].lines) <= KEPT_LINES


@pytest.mark.heavy
@pytest.mark.parametrize("piece", [b"x" * 10_000, b"250-x\r\n" * 2_000])
def test_reply_without_an_end_is_given_up(piece: bytes) -> None:
    with pytest.raises(ReplyTooLong):
        _feed_twice_the_limit(ReplyParser(), piece)


def _feed_twice_the_limit(parser: ReplyParser, piece: bytes) -> None:
    for _ in range(2 * MAX_REPLY_BYTES // len(piece)):
        parser.feed(piece)


@pytest.mark.heavy
def test_many_replies_are_no_long_reply() -> None:
    parser = ReplyParser()

    assert len(parser.feed(b"250 OK\r\n" * (MAX_REPLY_BYTES // 4))) == MAX_REPLY_BYTES // 4


@given(st.binary(max_size=400))
def test_no_bytes_raise(sent: bytes) -> None:
    for reply in ReplyParser().feed(sent):
        assert 0 <= reply.code <= 999
        assert all(
            character.isprintable() or character > "\x9f" for line in reply.lines for character in line
        )


def test_parser_knows_whether_something_of_a_next_reply_came() -> None:
    parser = ReplyParser()
    parser.feed(b"250 OK\r\n")
    was_empty = parser.is_empty
    parser.feed(b"2")

    assert (was_empty, parser.is_empty) == (True, False)


def test_extensions_are_read_in_any_case_and_in_the_old_way() -> None:
    reply = Reply(250, ("mail.example", "Pipelining", "AUTH=LOGIN", "auth plain cram-md5", "SIZE 1000"))

    assert extensions(reply) == {"PIPELINING": "", "AUTH": "LOGIN PLAIN CRAM-MD5", "SIZE": "1000"}


@pytest.mark.parametrize("word", ["a@b\r\nDATA", "a\nb", "a\x00b", "ä@b", "a\x7fb", "a\u2028b"])
def test_command_cannot_hold_a_second_one(word: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        command("RCPT", word)


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (b"a\r\n\r\nb", b"a\r\n\r\nb\r\n.\r\n"),
        (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n.\r\n"),
        (b".\r\n..\r\n.x", b"..\r\n...\r\n..x\r\n.\r\n"),
        (b"a\n.\nb\r.\rc", b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"),
        (b"", b"\r\n.\r\n"),
    ],
)
def test_mail_ends_at_the_final_dot_only(mail: bytes, expected: bytes) -> None:
    assert mail_data(mail) == expected


@given(st.text(st.sampled_from("a.\r\n"), max_size=30))
def test_no_mail_holds_a_dot_on_a_line_of_its_own(text: str) -> None:
    data = mail_data(text.encode())

    assert data.endswith(b"\r\n.\r\n")
    assert (b"\r\n" + data).find(b"\r\n.\r\n") == len(data) - 3
    assert data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")
