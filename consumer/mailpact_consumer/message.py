"""Reads what a publisher sent: either a request for one mail, or the reason why there will be none.

The AMQP properties are looked at first, then the body is parsed, then validated; the first fault is the answer.
Readers are lenient where the contract says so (`binding.json`): a program that knows nothing of content types,
versions or message ids is served.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from mailpact.amqp.messages import Message
from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact_consumer.headers import size_bytes

UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
DEFAULT_TYPE = "email.v1"


@dataclass(frozen=True, slots=True)
class MailRequest:
    """One mail that is to be sent.

    `message_id` is the key by which duplicates are told: the publisher's UUID in lower case, or one assigned on
    arrival, which `has_own_id` says (then no duplicate can be told). `body_sha256` is hexadecimal.
    """

    message_id: str
    has_own_id: bool
    contract: str
    recipient: str
    text: str
    body_sha256: str
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class Reader:
    """One contract that this consumer serves, ready to validate."""

    contract: Contract
    validator: Validator


def readers(catalogue: Catalogue) -> dict[str, Reader]:
    """Return the contracts that the consumer serves, by the `type` property that asks for each."""
    email = catalogue.contract("email/1")
    return {email.wire.type: Reader(email, Validator(email.schema))}


def message_id_of(message: Message) -> str | None:
    """Return the publisher's message id in its canonical form, or None when there is no UUID."""
    given = message.message_id or ""
    return given.lower() if UUID.fullmatch(given) else None


def read(message: Message, served: dict[str, Reader], *, assigned_id: str) -> MailRequest | Refusal:
    """Return the mail that the message asks for, or why it cannot be one. `assigned_id` serves a message without id."""
    reader = served.get(message.type or DEFAULT_TYPE)
    if reader is None:
        return Refusal(
            ErrorCode.UNSUPPORTED_VERSION, detail="the type property names no contract served here"
        )
    refusal = reader.contract.wire.refuse(message.type, message.content_type, message.content_encoding)
    if refusal is not None:
        return refusal
    limits = reader.contract.wire.limits
    if _headers_bytes(message) > limits.max_headers_bytes:
        return Refusal(
            ErrorCode.TOO_LARGE,
            detail=f"the headers have more than the {limits.max_headers_bytes} bytes allowed",
        )
    value = parse(message.body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
    if isinstance(value, Refusal):
        return value
    refusal = reader.validator.check(value)
    if refusal is not None:
        return refusal
    assert isinstance(value, dict)  # noqa: S101  # what the schema has just said
    own_id = message_id_of(message)
    return MailRequest(
        message_id=own_id or assigned_id,
        has_own_id=own_id is not None,
        contract=f"{reader.contract.name}/{reader.contract.major}",
        recipient=str(value["email"]),
        text=str(value["message"]),
        body_sha256=hashlib.sha256(message.body).hexdigest(),
        timestamp=message.timestamp,
    )


def _headers_bytes(message: Message) -> int:
    # Without what the broker adds: a message must not become too large by being delivered again.
    return size_bytes(message.republished(message_id="", headers={}).headers) if message.headers else 0
