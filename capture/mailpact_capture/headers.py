"""Header fields: unfolded, decoded (RFC 2047) and read as addresses, dates and identifiers.

Values come from `email`'s oldest policy, compat32. The newer default policy builds a parse tree for every address:
630 us instead of 70 us for a small mail, and it raises on input that arrives in practice.
Everything here takes any text and gives text that can be encoded as UTF-8.
"""

import binascii
import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import getaddresses, parsedate_to_datetime
from typing import Final

MAX_VALUE_CHARACTERS: Final = 65536  # of one value that is decoded; the raw mail has it all
MAX_ADDRESSES: Final = 1000

_FOLD: Final = re.compile(r"\r?\n[ \t]+|\r\n?|\n")
_ENCODED_WORD: Final = re.compile(r"=\?([^?*\s]{1,64})(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_BETWEEN_WORDS: Final = re.compile(r"(?<=\?=)[ \t]+(?==\?)")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
# Codecs that are no character sets, or take a time that grows with the square of the input.
_NOT_CHARSETS: Final = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox as the reader sees it; both parts may be empty."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


def encodable(text: str) -> str:
    """Replace what UTF-8 cannot encode (lone surrogates)."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def raw_value(value: object) -> str:
    """Return a field's value on one line, undecoded; bytes beyond ASCII are read as UTF-8."""
    octets = str(value).encode("utf-8", "surrogateescape")
    return _FOLD.sub(" ", octets.decode("utf-8", "replace")).strip()


def canonical_name(name: str) -> str:
    """Write a field's name as Mailpit does: `Message-Id`, `Mime-Version`."""
    readable = encodable(name)
    return "-".join(part.capitalize() for part in readable.split("-")) if _TOKEN.match(name) else readable


def decode_words(value: str) -> str:
    """Decode the encoded words in a value; one that cannot be decoded stays as it is."""
    joined = _BETWEEN_WORDS.sub("", value[:MAX_VALUE_CHARACTERS])
    return encodable(_ENCODED_WORD.sub(_decode_word, joined))


def _decode_word(match: re.Match[str]) -> str:
    charset, encoding, payload = match.groups()
    try:
        if encoding in "bB":
            content = binascii.a2b_base64(payload.encode())
        else:
            content = binascii.a2b_qp(payload.encode(), header=True)
    except (binascii.Error, ValueError):
        return match[0]
    return decode_bytes(content, charset)


def decode_bytes(content: bytes, charset: str | None) -> str:
    """Decode text in the character set it claims; as UTF-8 if there is no such set. Never raises."""
    try:
        codec = codecs.lookup(charset or "utf-8").name
        if codec not in _NOT_CHARSETS:
            return encodable(content.decode("utf-8" if codec == "ascii" else codec, "replace"))
    except (LookupError, ValueError):  # no such codec, one that is not for text, or one that cannot replace
        pass
    return content.decode("utf-8", "replace")


def addresses(values: Iterable[str]) -> tuple[Address, ...]:
    """Read address fields; what is no address is left out."""
    joined = ", ".join(values)[:MAX_VALUE_CHARACTERS]
    found = [
        Address(decode_words(name), encodable(address))
        for name, address in getaddresses([joined])[:MAX_ADDRESSES]
        if name or address
    ]
    return tuple(found)


def date(value: str) -> datetime | None:
    """Read a Date field; None if it is none. A date without a zone is UTC (RFC 5322, 3.3: -0000)."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
