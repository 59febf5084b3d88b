"""Writes what is published again: dead letters, retry copies, and what the bridge moves.

Each is the publisher's message as it was, under the publisher's own message id, with headers of ours added: always the
key by which the message is known, so that no copy becomes a second mail. A letter adds the reason. What a publisher's
headers make impossible (too big, not to be encoded) is left off, so that each can always be published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mailpact.amqp.messages import Message
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.headers import publishable, size_bytes
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
    """Why one recipient gets no mail: the code, words for people, and how it is found again in the inbox."""

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
    """Return the dead letter of one recipient; moved back, it reopens exactly this failure."""
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
    """Return the message as it waits for its next try. It is no letter any more, should it have been one."""
    return _again(message, key, {})


def bridged(message: Message, *, key: str, maybe_sent: bool) -> Message:
    """Return a message of the legacy queue as it goes on; `maybe_sent`: an earlier copy may have become a mail."""
    return _again(message, key, {MAYBE_SENT_HEADER: True} if maybe_sent else {})


def one_line(text: str) -> str:
    """Return a text as one line of visible ASCII, at most 500 characters.

    A server's reply may hold anything, half surrogates included, which no header could carry.
    """
    line = " ".join(text.split())[:DETAIL_CHARACTERS]
    if line.isascii() and line.isprintable():
        return line
    return "".join(character if " " <= character <= "~" else "?" for character in line)


def _again(message: Message, key: str, headers: Mapping[str, object]) -> Message:
    again = message.republished(message_id=message.message_id or key, headers={})
    # A letter that was published again and refused again must not keep the old reason beside the new one.
    kept = {
        name: value
        for name, value in publishable(again.headers).items()
        if name not in LETTERS_OWN and not name.startswith(LETTERS_PREFIX) and name != KEY_HEADER
    }
    if size_bytes(kept) > HEADERS_BYTES:
        kept = {name: value for name, value in kept.items() if name == MAYBE_SENT_HEADER}
    return replace(again, headers={**kept, KEY_HEADER: key, **headers})
