"""Writes the fields of a mail's header (RFC 5322) from values with any Unicode characters.

Python's `EmailMessage` is not used: it takes 400 us for one mail, and its encoder treats characters such as U+2028 as
line ends and loses them. A few rules are enough here, because only three kinds of values can contain characters
beyond ASCII:

- a subject or the name beside an address becomes encoded words (RFC 2047) unless it is short and plain;
- a file name becomes an extended parameter (RFC 2231) unless it is plain;
- a list of addresses has one address on each line.

Every function returns text with LF line ends; a line that follows LF begins with a space, as folding demands.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import quote

from mailpact_consumer.mail import ListUnsubscribe
from mailpact_consumer.mailbox import Mailbox

SUBJECT_CODE_POINTS = 200
LINE_CHARACTERS = 78  # RFC 5322 2.1.1: lines should have no more
PLAIN_SUBJECT_CHARACTERS = LINE_CHARACTERS - len("Subject: ")
PLAIN_NAME_CHARACTERS = 60
# bytes of text in each word, so that the first line has at most 76 characters (RFC 2047 2)
ENCODED_WORD_BYTES = 39
EXTENDED_VALUE_CHARACTERS = 54  # characters of a parameter's value on each line

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")  # RFC 5322 3.2.3
# Text that a quoted string can contain unchanged. Two spaces in a row are excluded, because parsers join them.
QUOTABLE = re.compile(r"(?:[!#-\[\]-~]| (?! ))+")
CHARSET_PREFIX = "utf-8''"  # the beginning of an extended value (RFC 2231 4): the charset, no language
# Characters besides letters and digits that an extended value contains unescaped: attribute-char of RFC 2231 7.
EXTENDED_SAFE = "!#$&+-.^_`{|}~"
MAILTO_SAFE = "@!$'*+"  # RFC 6068 2, in addition to letters, digits and -._~


def one_line(text: str) -> str:
    """Return a text as a subject: control characters become spaces; the text is trimmed and cut at 200 code points."""
    return CONTROL.sub(" ", text).strip(" ")[:SUBJECT_CODE_POINTS].rstrip(" ")


def subject_field(subject: str) -> str:
    """Return the value of Subject: the subject unchanged, or as encoded words.

    A long subject is encoded, too, because folding at its spaces could change the spaces.
    """
    if subject.isascii() and len(subject) <= PLAIN_SUBJECT_CHARACTERS and "=?" not in subject:
        return subject
    return encoded_words(subject)


def date_field(date: datetime) -> str:
    """Return the value of Date; `date` is aware."""
    return _date_field(date, date.tzinfo)


@lru_cache(maxsize=256)
def _date_field(date: datetime, _zone: tzinfo | None) -> str:
    # Equal moments in two zones have two texts, so the zone is part of the cache's key.
    return format_datetime(date)


def mailboxes_field(mailboxes: Sequence[Mailbox]) -> str:
    """Return the value of From, To, Cc or Reply-To, with one mailbox on each line."""
    return ",\n ".join([_mailbox(mailbox) for mailbox in mailboxes])


def list_unsubscribe_field(leave: ListUnsubscribe) -> str:
    """Return the value of List-Unsubscribe (RFC 2369 3.2)."""
    if leave.mail is None:
        return f"<{leave.url}>"
    mailto = f"<mailto:{quote(leave.mail, safe=MAILTO_SAFE)}>"
    room = LINE_CHARACTERS - len("List-Unsubscribe: <>, ")
    return f"<{leave.url}>,{' ' if len(leave.url) + len(mailto) <= room else chr(10) + ' '}{mailto}"


def filename_parameter(filename: str) -> str:
    """Return the parameters that name a file, each with `;` and a space before it (RFC 2183, RFC 2231).

    A name that parsers could misread inside quotation marks (for example with a quotation mark, or with text like an
    encoded word) is written as an extended parameter. A long name is split into numbered pieces, because a line has
    at most 998 bytes, and 128 characters can need 1,152 bytes.
    """
    if filename.isascii() and "=?" not in filename and QUOTABLE.fullmatch(filename):
        return (
            f'; filename="{filename}"'
            if len(filename) < PLAIN_NAME_CHARACTERS
            else f';\n filename="{filename}"'
        )
    pieces = list(_extended_pieces(filename))
    if len(pieces) == 1:
        return f";\n filename*={CHARSET_PREFIX}{pieces[0]}"
    first = f";\n filename*0*={CHARSET_PREFIX}{pieces[0]}"
    return first + "".join(f";\n filename*{number}*={piece}" for number, piece in enumerate(pieces[1:], 1))


def encoded_words(text: str) -> str:
    """Return a text as encoded words of at most 75 characters (RFC 2047 2), folded between them."""
    return "\n ".join([f"=?utf-8?b?{b64encode(chunk).decode()}?=" for chunk in _chunks(text)])


def _mailbox(mailbox: Mailbox) -> str:
    name = mailbox.name
    if not name:
        return mailbox.address
    if not name.isascii() or "=?" in name or "  " in name or len(name) > PLAIN_NAME_CHARACTERS:
        shown = encoded_words(name)
    elif ATOMS.fullmatch(name):
        shown = name
    else:
        shown = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    last_line = len(shown) - shown.rfind("\n")
    fits = last_line + len(mailbox.address) + len("Reply-To:  <>,") <= LINE_CHARACTERS
    return f"{shown}{' ' if fits else chr(10) + ' '}<{mailbox.address}>"


def _chunks(text: str) -> Iterator[bytes]:
    """Yield the text in pieces of at most 39 bytes, without splitting a code point (RFC 2047 5)."""
    encoded = text.encode()
    start = 0
    while start < len(encoded):
        end = min(start + ENCODED_WORD_BYTES, len(encoded))
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:  # the position is inside a code point
            end -= 1
        yield encoded[start:end]
        start = end


def _extended_pieces(filename: str) -> Iterator[str]:
    """Yield a percent-encoded name in pieces of whole characters, each piece as long as a line allows."""
    piece = ""
    for character in filename:
        escaped = quote(character, safe=EXTENDED_SAFE)
        if len(piece) + len(escaped) > EXTENDED_VALUE_CHARACTERS:
            yield piece
            piece = ""
        piece += escaped
    yield piece
