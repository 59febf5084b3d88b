"""Parse address fields (From, To, Cc …) one mailbox at a time: an invalid mailbox does not affect the others.

    list    = mailbox *( ("," | ";") mailbox )
    mailbox = [words] "<" address ">" | [words] address ["(" name ")"] | words
    group   = words ":" list ";"                       the members are kept, the group's name is dropped

Senders write more than RFC 5322 allows, and this parser has to show all of it: commas are missing; quotes, comments
and angle brackets are never closed. `email.utils.getaddresses` is not used: since Python 3.11.10 and 3.12.6 that
function returns an empty list if one mailbox is invalid.
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
      | (?P<angle><(?:@[^:<>"]*:)?(?:"(?:[^"\\]|\\.)*"|[^<>",;])*>?)
      | (?P<end>[,;])
      | (?P<colon>:)
      | (?P<text>(?:=\?[^?\s]+\?[bBqQ]\?[^?]*\?=|[^",;:<(])+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
# Most fields hold one mailbox of this form, for which the general parser returns the same address.
_COMMON: Final = re.compile(
    r"(?:(?P<name>[A-Za-z][A-Za-z0-9.-]*(?: [A-Za-z0-9.-]+)*) <(?P<angle>[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)>"
    r"|(?P<bare>[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+))"
)
_ROUTE: Final = re.compile(r"@[^:<>\s]*:")
_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?:@\S+)?|\S+', re.DOTALL)
_AT: Final = re.compile(r" ?@ ?")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox as the reader sees it; both parts may be empty."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


def addresses(values: Iterable[str]) -> tuple[Address, ...]:
    """Return the mailboxes of address fields. `values` are the fields' undecoded values."""
    found: list[Address] = []
    for value in values:
        start = value[:MAX_VALUE_CHARACTERS]
        if common := _COMMON.fullmatch(start):
            found.append(Address(common["name"] or "", common["angle"] or common["bare"]))
        else:
            for mailbox in _mailboxes(start):
                found.extend(mailbox.read())
                if len(found) >= MAX_ADDRESSES:
                    break
        if len(found) >= MAX_ADDRESSES:
            return tuple(found[:MAX_ADDRESSES])
    return tuple(found)


class _Mailbox:
    """The tokens of one mailbox."""

    def __init__(self, words: list[str]) -> None:
        self.words = words  # the words outside of angle brackets and comments, undecoded
        self.after: list[str] = []  # the words that follow the angle brackets
        self.comments: list[str] = []
        self.angle: str | None = None

    def take(self, kind: str, token: str) -> None:
        if kind == "comment":
            self.comments.append(_QUOTED_PAIR.sub(r"\1", token[1:-1]))
        elif kind == "angle":
            self.angle = _ROUTE.sub("", token.strip("<>").strip(), count=1)
        else:
            (self.words if self.angle is None else self.after).append(token.strip("<>"))

    def read(self) -> Iterator[Address]:
        """Yield the mailbox's addresses: none if the mailbox is empty, several if commas are missing."""
        written = "".join([*self.words, *self.after])
        if self.angle is not None:
            yield Address(_name(written) or self._comment(), _one_line(decode_words(self.angle)))
        elif "=?" in written and "@" not in written and "@" in (decoded := decode_words(written)):
            yield from addresses([decoded])  # the encoded word contains the address, too
        else:
            yield from self._bare(_AT.sub("@", _one_line(written)))

    def _bare(self, written: str) -> Iterator[Address]:
        name: list[str] = []
        words = _WORD.findall(written)
        for word in words:
            if "@" not in word or word.endswith('"'):
                name.append(word)
                continue
            yield Address(_name(" ".join(name)) or self._comment(), _one_line(decode_words(word.strip("<>"))))
            name = []
        if len(words) == 1 and name:
            yield Address(self._comment(), _name(words[0]))
        elif name:
            yield Address(_name(" ".join(name)), "")

    def _comment(self) -> str:
        return _one_line(decode_words(" ".join(self.comments)))


def _name(written: str) -> str:
    unquoted = _WORD.sub(
        lambda word: _QUOTED_PAIR.sub(r"\1", word[0].strip('"')) if word[0].startswith('"') else word[0],
        written,
    )
    return _one_line(decode_words(unquoted))


def _mailboxes(value: str) -> Iterator[_Mailbox]:
    mailbox = _Mailbox([])
    for kind, token in _tokens(value):
        if kind == "end":
            yield mailbox
            mailbox = _Mailbox([])
        elif kind == "colon" and mailbox.angle is None and "@" not in "".join(mailbox.words):
            mailbox = _Mailbox([])
        else:
            if kind == "angle" and mailbox.angle:  # the comma between two mailboxes is missing
                words, mailbox.after = mailbox.after, []
                yield mailbox
                mailbox = _Mailbox(words)
            mailbox.take(kind, token)
    yield mailbox


def _tokens(value: str) -> Iterator[tuple[str, str]]:
    """Yield each token and its kind. An opening quotation mark or parenthesis that is never closed is left out."""
    for match in _TOKEN.finditer(value):
        kind, token = str(match.lastgroup), match[0]
        opening = {"quoted": '"', "comment": "("}.get(kind)
        if opening and not (len(token) > 1 and token.endswith('"' if kind == "quoted" else ")")):
            yield from _tokens(value[match.start() :].replace(opening, " "))
            return
        yield kind, token


def _one_line(text: str) -> str:
    return " ".join(text.split())
