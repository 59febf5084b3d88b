"""Renders a mail: the same request gives the same bytes, on every machine and at every try (RFC 5322, RFC 2045).

The header is written here, line by line, because every byte of it is a promise: addresses have passed the contract's
pattern (ASCII, no quoting), the subject is one line by construction, and nothing else comes from the publisher.
"""

import hashlib
import re
from base64 import b64encode, encodebytes
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime

from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.message import MailRequest

SUBJECT_CODE_POINTS = 200
NO_SUBJECT = "(no subject)"
LINE_OCTETS = 998  # RFC 5322 2.1.1, without the CRLF
PLAIN_SUBJECT_CHARACTERS = 78 - len(
    "Subject: "
)  # RFC 5322 2.1.1: lines should have no more than 78 characters
ENCODED_WORD_BYTES = 39  # of text in each, so that the first line has no more than 76 characters (RFC 2047 2)

PLAIN_NAME_CHARACTERS = 60  # with the address on the same line, well below 998 (RFC 5322 2.1.1)
ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]+")  # a display name without quotes (RFC 5322 3.2.3)
LINE_END = re.compile(r"\r\n|\n|\r")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What a mail can carry as it is: visible ASCII, spaces and tabs, in lines that end at LF and are not too long.
SEVEN_BIT = re.compile(rf"(?:[\t\x20-\x7e]{{0,{LINE_OCTETS}}}\n)*[\t\x20-\x7e]{{0,{LINE_OCTETS}}}")


def subject_of(text: str) -> str:
    """Return the subject of an email/1 text: its first line that is not blank, cleaned and cut at 200 code points.

    Lines end at CRLF, LF or CR and at nothing else; other control characters become spaces.
    """
    for line in LINE_END.split(text):
        subject = CONTROL.sub(" ", line).strip(" ")
        if subject:
            return subject[:SUBJECT_CODE_POINTS].rstrip(" ")
    return NO_SUBJECT


def recipient_sha256(recipient: str) -> str:
    """Return the recipient's key in the inbox, hexadecimal; its first 8 digits stand in the Message-ID."""
    return hashlib.sha256(recipient.encode()).hexdigest()


def mail_message_id(message_id: str, recipient: str, domain: str) -> str:
    """Return the mail's Message-ID, which names message and recipient, so that a second copy is recognised as one."""
    return f"<{message_id}.{recipient_sha256(recipient)[:8]}@{domain}>"


def render(request: MailRequest, *, mail_from: Mailbox, domain: str, date: datetime) -> bytes:
    """Return the mail's bytes with CRLF line ends. `date` is aware; it must not differ from try to try."""
    if SEVEN_BIT.fullmatch(request.text):
        charset, encoding, body = "us-ascii", "7bit", request.text.encode("ascii")
    else:
        charset, encoding, body = "utf-8", "base64", encodebytes(request.text.encode())
    header = (
        f"From: {_mailbox(mail_from)}\n"
        f"To: {request.recipient}\n"
        f"Subject: {_encoded(subject_of(request.text))}\n"
        f"Date: {format_datetime(date)}\n"
        f"Message-ID: {mail_message_id(request.message_id, request.recipient, domain)}\n"
        "Auto-Submitted: auto-generated\n"
        "MIME-Version: 1.0\n"
        f'Content-Type: text/plain; charset="{charset}"\n'
        f"Content-Transfer-Encoding: {encoding}\n"
        "\n"
    )
    return (header.encode("ascii") + body).replace(b"\n", b"\r\n")


def _mailbox(mailbox: Mailbox) -> str:
    """Return an address with its display name as a header field carries it (RFC 5322 3.4, RFC 2047 5)."""
    name = mailbox.name
    if not name:
        return mailbox.address
    if not name.isascii() or "=?" in name or len(name) > PLAIN_NAME_CHARACTERS:
        words = "\n ".join(f"=?utf-8?b?{b64encode(chunk.encode()).decode()}?=" for chunk in _chunks(name))
        return f"{words}\n <{mailbox.address}>"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f"{name} <{mailbox.address}>" if ATOMS.fullmatch(name) else f'"{quoted}" <{mailbox.address}>'


def _encoded(subject: str) -> str:
    """Return the subject as a header can carry it: as it is, or as encoded words (RFC 2047), folded between them.

    What is long is encoded too: folded at its spaces it would come back with others. The library's own encoder cannot
    be used: it takes U+2028 and its like for line ends, and loses them.
    """
    if subject.isascii() and len(subject) <= PLAIN_SUBJECT_CHARACTERS and "=?" not in subject:
        return subject
    return "\n ".join(f"=?utf-8?b?{b64encode(chunk.encode()).decode()}?=" for chunk in _chunks(subject))


def _chunks(text: str) -> Iterator[str]:
    """Cut a text so that each piece has at most 39 bytes, between code points (RFC 2047 5)."""
    chunk = ""
    for character in text:
        if len((chunk + character).encode()) > ENCODED_WORD_BYTES:
            yield chunk
            chunk = ""
        chunk += character
    yield chunk
