"""Reads a publisher's message: the result is a request for mail, or the reason why there will be no mail.

The AMQP properties are checked first; then the body is parsed and validated. The first fault is the result.
Properties are optional if the contract says so (`binding.json`): messages without a content type, a version or a
message id are accepted.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from mailpact.amqp.messages import Message
from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact_consumer.email_2 import Policy, read_email_2, recipients_of
from mailpact_consumer.headers import republished, size_bytes
from mailpact_consumer.mail import Mail
from mailpact_consumer.mailbox import canonical_address
from mailpact_consumer.schedule import Period
from mailpact_consumer.values import value

UUID_FORM = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
DEFAULT_TYPE = "email.v1"
KEY_NAMESPACE = UUID("6f1c4a52-9d0e-5b7a-8a36-2e9d1c7f4b10")
"""For keys that are derived from ids of another form; a change would make mail of every redelivered message."""

KEY_HEADER = "x-mailpact-id"
MAYBE_SENT_HEADER = "x-maybe-sent"
RECIPIENT_HEADER = "x-recipient"
FAILED_TOKEN_HEADER = "x-failed-token"  # noqa: S105  # a header's name


@value
class Identity:
    """The identity of a message.

    `key` identifies duplicates. It is a UUID in lower case: the publisher's UUID, a UUID derived from an id of
    another form, or a UUID assigned on arrival. `publisher_id` is the publisher's id if it differs from the key.
    `is_known` says that the message arrived with an id or a key; otherwise duplicates cannot be detected.
    """

    key: str
    publisher_id: str | None
    is_known: bool


@value
class Recipient:
    """One recipient: the address for the mail, and the hash that names the recipient in the inbox."""

    address: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The data of a replayed dead letter: its recipient, and the token of its failure."""

    recipient: str
    failed_token: str


@value
class MailRequest:
    """The mails that a message asks for, one for each recipient. `body_sha256` is hexadecimal.

    `content` is the text of `email/1` or the mail of `email/2`. A Refusal as `content` says that the message obeys its
    contract's schema but cannot become a mail here and now, because of its schedule, its template or its sender.
    `period` is the publisher's; `metadata` is copied into status events. `template_digest` changes when somebody edits
    the template that the mail is made from.
    """

    identity: Identity
    contract: str
    recipients: tuple[Recipient, ...]
    content: str | Mail | Refusal
    body_sha256: str
    timestamp: datetime | None
    period: Period = field(default_factory=Period)
    metadata: Mapping[str, str] = field(default_factory=dict)
    template_digest: str | None = None

    @property
    def message_id(self) -> str:
        """Return the key that identifies the message."""
        return self.identity.key


@dataclass(frozen=True, slots=True)
class Reader:
    """One contract that this consumer serves, ready to validate. `policy` is None for `email/1`."""

    contract: Contract
    validator: Validator
    policy: Policy | None


def readers(catalogue: Catalogue, policy: Policy) -> dict[str, Reader]:
    """Return the contracts that the consumer serves, by the value of `type` that selects each."""
    served = (("email/1", None), ("email/2", policy))
    found = [(catalogue.contract(name), rules) for name, rules in served]
    return {one.wire.type: Reader(one, Validator(one.schema), rules) for one, rules in found}


def identify(message: Message, *, assigned_id: str) -> Identity:
    """Return the message's identity; `assigned_id` is used for a message without an id.

    A key that a consumer assigned earlier is in a header and takes precedence. If the id is not in the form 8-4-4-4-12,
    the key is derived from the id and the body. So the same message twice is one mail, but a repeated counter with
    another body is another mail.
    """
    given = message.message_id or None
    ours = message.headers.get(KEY_HEADER)
    if isinstance(ours, str) and UUID_FORM.fullmatch(ours):
        key = ours.lower()
        return Identity(key, given if given and given.lower() != key else None, is_known=True)
    if given is None:
        return Identity(assigned_id, None, is_known=False)
    if UUID_FORM.fullmatch(given):
        return Identity(given.lower(), None, is_known=True)
    derived = uuid5(KEY_NAMESPACE, f"{given}\0{hashlib.sha256(message.body).hexdigest()}")
    return Identity(str(derived), given, is_known=True)


def may_have_been_sent(message: Message, identity: Identity, *, redelivered: bool) -> bool:
    """Return whether an earlier delivery may have become a mail without leaving a row in the inbox."""
    return MAYBE_SENT_HEADER in message.headers or (redelivered and not identity.is_known)


def replay_of(message: Message) -> Replay | None:
    """Return the data of a dead letter that was moved back to the queue; None for any other message."""
    recipient, token = (message.headers.get(name) for name in (RECIPIENT_HEADER, FAILED_TOKEN_HEADER))
    if isinstance(recipient, str) and isinstance(token, str):
        return Replay(recipient, token)
    return None


def recipient_of(address: str) -> Recipient:
    """Return the recipient of this address in `email/1`; the hash is that of the unchanged address."""
    return Recipient(address, hashlib.sha256(address.encode()).hexdigest())


def read(
    message: Message, served: dict[str, Reader], identity: Identity, *, now: datetime
) -> MailRequest | Refusal:
    """Return the mails that the message asks for, or the rule that the message breaks. `now` has a time zone."""
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
    assert isinstance(value, dict)  # noqa: S101  # the schema requires an object
    contract = f"{reader.contract.name}/{reader.contract.major}"
    body_sha256 = hashlib.sha256(message.body).hexdigest()
    if reader.policy is None:
        recipient, text = recipient_of(str(value["email"])), str(value["message"])
        return MailRequest(identity, contract, (recipient,), text, body_sha256, message.timestamp)
    recipients = tuple([_recipient_of_email_2(address) for address in recipients_of(value)])
    metadata: Any = value.get("metadata", {})
    order = read_email_2(value, reader.policy, now=now)
    if isinstance(order, Refusal):
        return MailRequest(
            identity, contract, recipients, order, body_sha256, message.timestamp, metadata=metadata
        )
    return MailRequest(
        identity,
        contract,
        recipients,
        order.mail,
        body_sha256,
        message.timestamp,
        Period(order.not_before, order.expires_at),
        metadata,
        order.template_digest,
    )


def _recipient_of_email_2(address: str) -> Recipient:
    return Recipient(address, hashlib.sha256(canonical_address(address).encode()).hexdigest())


def _headers_bytes(message: Message) -> int:
    # Headers that the broker adds do not count: a message must not become too large by a new delivery.
    return size_bytes(republished(message.headers)) if message.headers else 0
