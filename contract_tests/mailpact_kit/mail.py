"""Read the text of a captured mail, as a mail program does, to compare it with the text that a contract asks for.

Pure: the functions take bytes, and return a text or the reason why the mail has no text.
"""

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as the mail server received it: the envelope and the bytes.

    `at` is the time of receipt in seconds of the event loop's clock.
    """

    at: float
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The reason why a mail has no text to compare."""

    reason: str


def text_of(mail: Mail) -> str | Unreadable:
    """Return the text of the first text/plain part; a byte that cannot be decoded is an error."""
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
    """Return whether two texts are equal by the contract.

    All line ends count as LF, and one additional line end at the end of the text is ignored
    (contracts/email/1/README.md, The text).
    """
    return _normal(one) == _normal(other)


def _normal(text: str) -> str:
    return _LINE_END.sub("\n", text).removesuffix("\n")
