"""Reads the body of a message of email/2: the mail, its recipients and its schedule, or the reason why there is none.

The body is already valid for the contract's schema. This module checks the rules that a schema cannot express, in the
order of `contracts/email/2/README.md`: the schedule, the template and its data, and the sender. The expiry is not
checked here, but before each try.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject
from mailpact_consumer.database_clock import EPOCH
from mailpact_consumer.mail import Attachment, Content, ListUnsubscribe, Mail
from mailpact_consumer.mailbox import Identities, Mailbox, canonical_address
from mailpact_consumer.values import value

NOT_BEFORE_AHEAD = timedelta(days=7)
MOMENT = re.compile(r"([0-9-]{10}T[0-9:]{8})(?:\.([0-9]{1,9}))?Z")


@value
class FilledTemplate:
    """The content that a template made from its data. `digest` is the SHA-256 of the template's text, hexadecimal."""

    content: Content
    digest: str


class Templates(Protocol):
    """The templates that an operator has installed."""

    def fill(self, name: str, version: int, locale: str, data: JsonObject) -> FilledTemplate | Refusal:
        """Return the filled template. The pointer of a Refusal starts at the top of the message."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's rules. `mail_from` is the sender of mails that name no sender."""

    mail_from: Mailbox
    identities: Identities
    templates: Templates


@value
class Order:
    """The mail that one message of email/2 asks for.

    `not_before` and `expires_at` have a time zone; None means that the message has no such time. `template_digest` is
    None for a mail without a template.
    """

    mail: Mail
    not_before: datetime | None
    expires_at: datetime | None
    template_digest: str | None


def recipients_of(body: JsonObject) -> tuple[str, ...]:
    """Return the addresses of `to`, `cc` and `bcc` in this order, unchanged, each address once."""
    value: dict[str, Any] = dict(body)
    first: dict[str, str] = {}
    for key in ("to", "cc", "bcc"):
        for mailbox in value.get(key, ()):
            first.setdefault(canonical_address(mailbox["address"]), mailbox["address"])
    return tuple(first.values())


def read_email_2(body: JsonObject, policy: Policy, *, now: datetime) -> Order | Refusal:
    """Return the mail, or the first rule that the message breaks. `now` has a time zone and is the database's time."""
    value: dict[str, Any] = dict(body)
    now_microseconds = (now - EPOCH) // timedelta(microseconds=1)
    not_before = _nanoseconds(value.get("not_before"))
    expires_at = _nanoseconds(value.get("expires_at"))
    refusal = _refuse_schedule(not_before, expires_at, now_microseconds)
    if refusal is not None:
        return refusal
    filled = _content(value, policy.templates)
    if isinstance(filled, Refusal):
        return filled
    sender = _mailbox(value["from"]) if "from" in value else policy.mail_from
    if "from" in value and not policy.identities.allows(sender.address):
        return Refusal(
            ErrorCode.IDENTITY_NOT_ALLOWED,
            pointer="/from/address",
            detail="the operator allows no such sender",
        )
    mail = Mail(
        sender=sender,
        to=tuple(_mailbox(each) for each in value["to"]),
        cc=tuple(_mailbox(each) for each in value.get("cc", ())),
        reply_to=_mailbox(value["reply_to"]) if "reply_to" in value else None,
        content=filled.content,
        attachments=tuple(_attachment(each) for each in value.get("attachments", ())),
        list_unsubscribe=_list_unsubscribe(value.get("list_unsubscribe")),
    )
    return Order(
        mail=mail,
        not_before=None if not_before is None else _moment(-(-not_before // 1000)),
        expires_at=None if expires_at is None else _moment(expires_at // 1000),
        template_digest=filled.digest or None,
    )


def _refuse_schedule(not_before: int | None, expires_at: int | None, now: int) -> Refusal | None:
    latest = (now + NOT_BEFORE_AHEAD // timedelta(microseconds=1)) * 1000
    if not_before is not None and not_before > latest:
        return Refusal(
            ErrorCode.SCHEMA, pointer="/not_before", detail="is more than 7 days after the message arrived"
        )
    if not_before is not None and expires_at is not None and expires_at <= not_before:
        return Refusal(ErrorCode.SCHEMA, pointer="/expires_at", detail="is not later than not_before")
    return None


def _nanoseconds(moment: str | None) -> int | None:
    """Return a time in the contract's format as nanoseconds since 1970."""
    if moment is None:
        return None
    form = MOMENT.fullmatch(moment)
    assert form is not None  # noqa: S101  # the schema requires this format
    seconds = (datetime.fromisoformat(form[1]).replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
    return seconds * 1_000_000_000 + int((form[2] or "").ljust(9, "0"))


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _content(value: dict[str, Any], templates: Templates) -> FilledTemplate | Refusal:
    if "template" not in value:
        content = Content(value["subject"].strip(" "), value.get("text"), value.get("html"))
        return FilledTemplate(content, digest="")
    asked = value["template"]
    return templates.fill(asked["name"], int(asked["version"]), asked["locale"], asked["data"])


def _mailbox(value: dict[str, Any]) -> Mailbox:
    return Mailbox(value["address"], value.get("name", "").strip(" "))


def _attachment(value: dict[str, Any]) -> Attachment:
    return Attachment(value["filename"], value["content_type"], value["content"], value.get("content_id"))


def _list_unsubscribe(value: dict[str, Any] | None) -> ListUnsubscribe | None:
    if value is None:
        return None
    return ListUnsubscribe(value["url"], value.get("mail"), value.get("one_click", False))
