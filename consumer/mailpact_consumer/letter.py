"""Writes dead letters: the publisher's message as it was, with the reason why it became no mail."""

from mailpact.amqp.messages import Message
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.reply import Permanent

DETAIL_CHARACTERS = 500  # headers are limited to 32 kB in all, and the publisher's own come first


def letter_about_refusal(message: Message, refusal: Refusal, *, message_id: str) -> Message:
    """Give the dead letter of a message that its contract refuses."""
    headers: dict[str, object] = {"x-error-code": str(refusal.code), "x-error-detail": _cut(refusal.detail)}
    if refusal.keyword:
        headers |= {"x-error-pointer": refusal.pointer, "x-error-keyword": refusal.keyword}
    return message.republished(message_id=message_id, headers=headers)


def letter_about_reply(
    message: Message, reply: Permanent, *, message_id: str, recipient: str, attempts: int
) -> Message:
    """Give the dead letter of a mail that the mail server refuses for good."""
    headers = {
        "x-error-code": str(ErrorCode.SMTP_PERMANENT),
        "x-error-detail": _cut(f"{reply.code} {reply.text}"),
        "x-recipient": recipient,
        "x-attempts": attempts,
    }
    return message.republished(message_id=message_id, headers=headers)


def _cut(detail: str) -> str:
    return " ".join(detail.split())[:DETAIL_CHARACTERS]
