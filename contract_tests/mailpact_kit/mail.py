"""Reads a captured mail as a mail program would, and finds what a contract's text can be compared with.

Pure: bytes in, a text or the reason why there is none out.
"""

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it was handed over: the envelope and the bytes. `at` counts seconds of the event loop's clock."""

    at: float
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a mail has no text that could be compared."""

    reason: str


def text_of(mail: Mail) -> str | Unreadable:
    """Return the text of the mail's first text/plain part, decoded strictly: nothing is guessed or replaced."""
    parsed = message_from_bytes(mail.content, policy=default)
    part = next((part for part in parsed.walk() if part.get_content_type() == "text/plain"), None)
    if not isinstance(part, EmailMessage):
        return Unreadable("the mail has no text/plain part")
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return Unreadable("the text/plain part holds no text")
    charset = part.get_content_charset()
    if charset is None and not payload.isascii():
        return Unreadable("the text has bytes beyond ASCII, and no charset is declared (RFC 2046 4.1.2)")
    try:
        return payload.decode(charset or "us-ascii")
    except (LookupError, UnicodeDecodeError) as error:
        return Unreadable(f"the text is not in the charset that it declares: {error}")


def is_same_text(one: str, other: str) -> bool:
    """Compare texts as the contract has it: mail's line ends are its own, and one more at the end does not count."""
    return _normal(one) == _normal(other)


def _normal(text: str) -> str:
    return _LINE_END.sub("\n", text).removesuffix("\n")
