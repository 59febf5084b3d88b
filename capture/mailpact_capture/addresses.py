"""Address fields (From, To, Cc …) read one mailbox at a time: a bad mailbox spoils only itself.

    list    = mailbox *( ("," | ";") mailbox )
    mailbox = [words] "<" address ">" | address ["(" name ")"] | words
    group   = words ":" list ";"                       its members are taken, its name is dropped

Senders write more than RFC 5322 allows, and readers have to show all of it. `email.utils.getaddresses` is not used:
since
Python 3.11.10 and 3.12.6 one bad mailbox empties the whole list.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mailpact_capture.headers import MAX_VALUE_CHARACTERS, decode_words

MAX_ADDRESSES: Final = 1000

_TOKEN: Final = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*"?)
      | (?P<comment>\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)?)
      | (?P<angle><(?:"(?:[^"\\]|\\.)*"|[^<>"])*>?)
      | (?P<end>[,;])
      | (?P<colon>:)
      | (?P<text>(?:=\?[^?\s]+\?[bBqQ]\?[^?]*\?=|[^",;:<(])+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ROUTE: Final = re.compile(r"@[^:<>\s]*:")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox as the reader sees it; both parts may be empty."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


def addresses(values: Iterable[str]) -> tuple[Address, ...]:
    """Return the mailboxes of address fields, the undecoded values of which are given."""
    found: list[Address] = []
    for value in values:
        for mailbox in _mailboxes(value[:MAX_VALUE_CHARACTERS]):
            found.extend(mailbox.read())
            if len(found) >= MAX_ADDRESSES:
                return tuple(found[:MAX_ADDRESSES])
    return tuple(found)


class _Mailbox:
    """The tokens of one mailbox."""

    def __init__(self) -> None:
        self.written: list[str] = []  # outside of angle brackets and comments, as it was written
        self.words: list[str] = []  # the same, without quotes
        self.comments: list[str] = []
        self.angle: str | None = None

    def take(self, kind: str, token: str) -> None:
        if kind == "comment":
            self.comments.append(_QUOTED_PAIR.sub(r"\1", token[1:-1] if token.endswith(")") else token[1:]))
        elif kind == "angle" and self.angle is None:
            self.angle = _ROUTE.sub("", token.strip("<>").strip(), count=1)
        else:
            self.written.append(token)
            self.words.append(_QUOTED_PAIR.sub(r"\1", token.strip('"')) if kind == "quoted" else token)

    def read(self) -> Iterator[Address]:
        """Yield the addresses: none of an empty mailbox, several where the commas between them are missing."""
        name = _one_line(decode_words("".join(self.words)))
        if self.angle is not None:
            yield Address(name or self._comment(), self._decoded(self.angle))
            return
        written = "".join(self.written).strip()
        parts = [written] if '"' in written else written.split()
        if "@" in written and all("@" in part for part in parts):
            yield from (Address(self._comment(), self._decoded(part)) for part in parts)
        elif written:
            yield Address(name, "") if " " in written else Address(self._comment(), self._decoded(written))

    def _comment(self) -> str:
        return _one_line(decode_words(" ".join(self.comments)))

    @staticmethod
    def _decoded(address: str) -> str:
        return _one_line(decode_words(address))


def _mailboxes(value: str) -> Iterator[_Mailbox]:
    mailbox = _Mailbox()
    for match in _TOKEN.finditer(value):
        kind, token = str(match.lastgroup), match[0]
        if kind == "end":
            yield mailbox
            mailbox = _Mailbox()
        elif kind == "colon" and mailbox.angle is None and "@" not in "".join(mailbox.written):
            mailbox = _Mailbox()
        else:
            mailbox.take(kind, token)
    yield mailbox


def _one_line(text: str) -> str:
    return " ".join(text.split())
