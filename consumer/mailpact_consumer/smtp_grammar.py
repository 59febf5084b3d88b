"""The grammar of SMTP: bytes of the mail server in, replies out; commands and mails in, bytes out. No I/O.

A reply is one or more lines with the same three digits (RFC 5321 4.2). The first digit decides the meaning of a
reply, so a very long reply is still valid: its first lines are kept, and the other lines are only counted. Bytes that
are no reply (an empty line, other text, lines with different digits) become a reply with code 0, which means neither
yes nor no.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

NO_CODE = 0
KEPT_LINE_BYTES = 1_000
KEPT_LINES = 100
MAX_REPLY_BYTES = 1 << 20  # a longer reply is never completed

_LINE = re.compile(rb"([0-9]{3})(?:([-\s])(.*)|([^-\s0-9].*)|)", re.DOTALL)
_LEADING_DOT = re.compile(rb"\n\.")  # takes half the time of a search for these two bytes with `in`
_NOT_IN_A_COMMAND = re.compile(r"[^\x20-\x7e]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ReplyTooLong(Exception):
    """One reply has more than 1 MiB; its end is not waited for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the mail server; `code` is 0 where the server sent something that is not a reply.

    `lines` are the texts behind the code, without control characters, each cut at 1,000 bytes.
    """

    code: int
    lines: tuple[str, ...] = ()

    @property
    def kind(self) -> int:
        """Return the first digit: 2 is success, 3 asks for more, 4 is a temporary and 5 a permanent refusal."""
        return self.code // 100

    @property
    def text(self) -> str:
        """Return all lines as one. The text may name the recipient, so it must not be logged."""
        return " ".join(self.lines).strip()


class ReplyParser:
    """Cuts the bytes that a server sends into replies."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._line_bytes = 0
        self._reply_bytes = 0
        self._code: bytes | None = None
        self._is_broken = False
        self._lines: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Return whether no byte of a next reply has arrived."""
        return not self._line_bytes and self._code is None

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that these bytes complete. Raises ReplyTooLong."""
        if self.is_empty and len(data) <= KEPT_LINE_BYTES and data.endswith(b"\n"):
            lines = data.split(b"\n")
            known = [reply for line in lines[:-1] if (reply := _reply_of_one_line(line)) is not None]
            if len(known) == len(lines) - 1:
                return known
        replies = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._keep(data[start:end])
            start = end + 1
            if reply := self._end_line():
                replies.append(reply)
        self._keep(data[start:])
        if self._reply_bytes > MAX_REPLY_BYTES:
            raise ReplyTooLong
        return replies

    def _keep(self, piece: bytes) -> None:
        self._line_bytes += len(piece)
        self._reply_bytes += len(piece)
        self._line += piece[: max(0, KEPT_LINE_BYTES - len(self._line))]

    def _end_line(self) -> Reply | None:
        line, self._line, self._line_bytes = bytes(self._line), bytearray(), 0
        match = _LINE.fullmatch(line.rstrip(b"\r"))
        goes_on = False
        if match is None or (self._code is not None and match[1] != self._code):
            self._is_broken = True
        else:
            self._code = match[1]
            goes_on = match[2] == b"-"
            if len(self._lines) < KEPT_LINES:
                self._lines.append(_readable(match[3] or match[4] or b""))
        return None if goes_on else self._end_reply()

    def _end_reply(self) -> Reply:
        code = NO_CODE if self._is_broken or self._code is None else int(self._code)
        reply = Reply(code, tuple(self._lines))
        self._code, self._is_broken, self._lines, self._reply_bytes = None, False, [], 0
        return reply


@lru_cache(maxsize=256)  # servers send the same few lines again and again
def _reply_of_one_line(line: bytes) -> Reply | None:
    """Return the reply that consists of this line, without its line end; None for any other line."""
    match = _LINE.fullmatch(line.rstrip(b"\r"))
    if match is None or match[2] == b"-":
        return None
    return Reply(int(match[1]), (_readable(match[3] or match[4] or b""),))


def _readable(text: bytes) -> str:
    return _CONTROL.sub(" ", text.decode("utf-8", "replace")).strip()


def extensions(reply: Reply) -> Mapping[str, str]:
    """Return what a reply to EHLO offers (RFC 5321 4.1.1.1): keywords in upper case, each with its parameters.

    `AUTH=PLAIN`, an old way to write AUTH, counts as AUTH.
    """
    offered: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameters = line.replace("=", " ", 1).partition(" ")
        known = offered.get(keyword.upper(), "")
        offered[keyword.upper()] = f"{known} {parameters.strip().upper()}".strip()
    return offered


def command(*words: str) -> bytes:
    """Return one command line. Raises ValueError for a character that could end the line or is not ASCII."""
    line = " ".join(words)
    if _NOT_IN_A_COMMAND.search(line):
        raise ValueError("an SMTP command has visible ASCII only")
    return line.encode("ascii") + b"\r\n"


def mail_data(mail: bytes) -> bytes:
    """Return a mail as it follows DATA: all line ends are CRLF, leading dots are doubled, a final dot is added."""
    text = b"\r\n".join(mail.splitlines())
    first = b"." if text.startswith(b".") else b""
    return first + _LEADING_DOT.sub(b"\n..", text) + b"\r\n.\r\n"
