"""Builds the messages that are published again: dead letters, retry copies, and messages that the bridge forwards.

Each copy has the publisher's body, properties and message id, and additional headers. One header is always the key of
the message, so that no copy becomes a second mail. A dead letter also has the reason. Publisher's headers that are
too large or cannot be encoded are removed, so that each copy can always be published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mailpact.amqp.messages import Message
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.headers import republished, size_bytes
from mailpact_consumer.message import (
    FAILED_TOKEN_HEADER,
    KEY_HEADER,
    MAYBE_SENT_HEADER,
    RECIPIENT_HEADER,
)

DETAIL_CHARACTERS = 500
HEADERS_BYTES = 32_768  # the contracts' max_headers_bytes; ours come on top, and a frame has room for 131,072
LETTERS_OWN = frozenset({"x-attempts", RECIPIENT_HEADER, FAILED_TOKEN_HEADER})
LETTERS_PREFIX = "x-error-"


@dataclass(frozen=True, slots=True)
class RecipientFailure:
    """Why one recipient gets no mail: the code, a text for people, and the token that identifies the failure."""

    code: ErrorCode
    detail: str
    recipient: str
    attempts: int
    failed_token: str


def letter_about_refusal(message: Message, refusal: Refusal, *, key: str, written_at: datetime) -> Message:
    """Return the dead letter of a message that cannot become a mail."""
    headers: dict[str, object] = {
        "x-error-code": str(refusal.code),
        "x-error-detail": one_line(refusal.detail),
    }
    if refusal.keyword or refusal.pointer:
        headers |= {"x-error-pointer": refusal.pointer, "x-error-keyword": refusal.keyword}
    return _again(message, key, {**headers, "x-error-time": written_at})


def letter_about_recipient(
    message: Message, failure: RecipientFailure, *, key: str, written_at: datetime
) -> Message:
    """Return the dead letter of one recipient. If the letter is replayed, it reopens exactly this failure."""
    headers: dict[str, object] = {
        "x-error-code": str(failure.code),
        "x-error-detail": one_line(failure.detail),
        "x-error-time": written_at,
        "x-attempts": failure.attempts,
        RECIPIENT_HEADER: failure.recipient,
        FAILED_TOKEN_HEADER: failure.failed_token,
    }
    return _again(message, key, headers)


def retry_copy(message: Message, *, key: str) -> Message:
    """Return the copy that waits for the next try.

    If the message was a replayed letter, the letter's headers are removed.
    """
    return _again(message, key, {})


def bridged(message: Message, *, key: str, maybe_sent: bool) -> Message:
    """Return a message of the legacy queue for the work queue; `maybe_sent`: an earlier copy may have become a mail."""
    return _again(message, key, {MAYBE_SENT_HEADER: True} if maybe_sent else {})


def one_line(text: str) -> str:
    """Return a text as one line of visible ASCII, at most 500 characters.

    A server's reply may contain any characters, even lone surrogates, which a header cannot contain.
    """
    line = " ".join(text.split())[:DETAIL_CHARACTERS]
    if line.isascii() and line.isprintable():
        return line
    return "".join(character if " " <= character <= "~" else "?" for character in line)


def _again(message: Message, key: str, headers: Mapping[str, object]) -> Message:
    # A replayed letter that is refused again must not keep its old reason in addition to the new reason.
    kept = {
        name: value
        for name, value in republished(message.headers).items()
        if name not in LETTERS_OWN and not name.startswith(LETTERS_PREFIX) and name != KEY_HEADER
    }
    if size_bytes(kept) > HEADERS_BYTES:
        kept = {name: value for name, value in kept.items() if name == MAYBE_SENT_HEADER}
    return replace(
        message, message_id=message.message_id or key, headers={**kept, KEY_HEADER: key, **headers}
    )
