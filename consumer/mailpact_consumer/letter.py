"""Writes dead letters: the publisher's message as it was, with the reason why it became no mail.

A letter can always be published: what a publisher's headers make impossible (too big, not to be encoded) is left off.
"""

from dataclasses import replace

from mailpact.amqp.messages import Message
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.headers import publishable, size_bytes
from mailpact_consumer.reply import Permanent

DETAIL_CHARACTERS = 500
HEADERS_BYTES = 32_768  # the contracts' max_headers_bytes; ours come on top, and a frame has room for 131,072
OURS = frozenset({"x-attempts", "x-recipient"})
OURS_PREFIX = "x-error-"


def letter_about_refusal(message: Message, refusal: Refusal, *, message_id: str) -> Message:
    """Return the dead letter of a message that its contract refuses."""
    headers: dict[str, object] = {
        "x-error-code": str(refusal.code),
        "x-error-detail": _one_line(refusal.detail),
    }
    if refusal.keyword:
        headers |= {"x-error-pointer": refusal.pointer, "x-error-keyword": refusal.keyword}
    return _letter(message, message_id, headers)


def letter_about_reply(
    message: Message, reply: Permanent, *, message_id: str, recipient: str, attempts: int
) -> Message:
    """Return the dead letter of a mail that the mail server refuses for good; `attempts` counts this process's."""
    headers: dict[str, object] = {
        "x-error-code": str(ErrorCode.SMTP_PERMANENT),
        "x-error-detail": _one_line(f"{reply.code} {reply.text}"),
        "x-recipient": recipient,
        "x-attempts": attempts,
    }
    return _letter(message, message_id, headers)


def _letter(message: Message, message_id: str, headers: dict[str, object]) -> Message:
    letter = message.republished(message_id=message_id, headers={})
    # A letter that was published again and refused again must not keep the old reason beside the new one.
    kept = {
        name: value
        for name, value in publishable(letter.headers).items()
        if name not in OURS and not name.startswith(OURS_PREFIX)
    }
    if size_bytes(kept) > HEADERS_BYTES:
        kept = {}
    return replace(letter, headers={**kept, **headers})


def _one_line(detail: str) -> str:
    # A server's reply may hold anything, half surrogates included, which no header could carry.
    line = " ".join(detail.split())[:DETAIL_CHARACTERS]
    return "".join(character if " " <= character <= "~" else "?" for character in line)
