"""Parse address fields (From, To, Cc …) one mailbox at a time: an invalid mailbox does not affect the others.

    list    = mailbox *( ("," | ";") mailbox )
    mailbox = [words] "<" address ">" | [words] address ["(" name ")"] | words
    group   = words ":" list ";"                       the members are kept, the group's name is dropped

Comments can be nested, and can be within an address, as can blanks around "@" and "." (RFC 5322, 3.2.2 and 4.4).

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
      | (?P<comment>\()
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
_WORD_OR_ADDRESS: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+|\S', re.DOTALL)
_BLANKS_IN_ADDRESS: Final = re.compile(r'"(?:[^"\\]|\\.)*"| ?@ ?| \. ', re.DOTALL)
_IN_COMMENT: Final = re.compile(r"[()]|\\.", re.DOTALL)
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
            self.angle = _bare_address(token.strip("<>"))
        else:
            (self.words if self.angle is None else self.after).append(token.strip("<>"))

    def read(self) -> Iterator[Address]:
        """Yield the mailbox's addresses: none if the mailbox is empty, several if commas are missing."""
        written = "".join([*self.words, *self.after])
        if self.angle is not None:
            mailbox = Address(_name(written) or self._comment(), _one_line(decode_words(self.angle)))
            if mailbox != NOBODY:
                yield mailbox
        elif "=?" in written and "@" not in written and "@" in (decoded := decode_words(written)):
            yield from addresses([decoded])  # the encoded word contains the address, too
        else:
            yield from self._bare(_without_blanks(written))

    def _bare(self, written: str) -> Iterator[Address]:
        name: list[str] = []
        words = _WORD_OR_ADDRESS.findall(written)
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


NOBODY: Final = Address("", "")


def _bare_address(written: str) -> str:
    """Return an address without its source route, comments, and the blanks around "@" and "."."""
    if "(" in written:
        written = "".join(token for kind, token in _tokens(written) if kind != "comment")
    address = _without_blanks(written)
    route = _ROUTE.match(address)
    return address[route.end() :] if route else address


def _without_blanks(written: str) -> str:
    """Return the words with the blanks around "@" and "." removed, but not the blanks in quotation marks."""
    return _BLANKS_IN_ADDRESS.sub(
        lambda found: found[0] if found[0].startswith('"') else found[0].strip(), _one_line(written)
    )


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
    at = 0
    while match := _TOKEN.match(value, at):
        kind, token = str(match.lastgroup), match[0]
        if kind == "comment":
            token = value[at : _comment_end(value, at)]
        opening = {"quoted": '"', "comment": "("}.get(kind)
        if opening and not (len(token) > 1 and token.endswith('"' if kind == "quoted" else ")")):
            yield from _tokens(value[at:].replace(opening, " "))
            return
        yield kind, token
        at += len(token)


def _comment_end(value: str, start: int) -> int:
    """Return the position behind the comment that begins at `start`, or `start` if the comment is never closed."""
    depth = 0
    for match in _IN_COMMENT.finditer(value, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return start


def _one_line(text: str) -> str:
    return " ".join(text.split())
