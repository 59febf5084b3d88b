"""What the store gives out, and how a mail becomes a row and a row a mail again. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mailpact_capture.headers import Address
from mailpact_capture.mail import Mail
from mailpact_capture.search import fold_capped
from mailpact_capture.session import Envelope


@dataclass(frozen=True, slots=True)
class Summary:
    """A mail as the list shows it. `bcc` has everybody who got it and is named in no header, too."""

    row_id: int
    public_id: str
    envelope: Envelope
    size: int
    is_read: bool
    message_id: str
    subject: str
    sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    attachments: int
    snippet: str
    defect: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list, newest first. `found` counts what the query finds, `total` all mails.

    `cursor` is the highest row id that was ever given: what comes later has a higher one.
    """

    summaries: tuple[Summary, ...]
    total: int
    unread: int
    found: int
    found_unread: int
    cursor: int


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One mail with all there is of it."""

    summary: Summary
    raw: bytes
    mail: Mail


SUMMARY_COLUMNS: Final = (
    "id, public_id, received_us, size, read, mail_from, rcpt_tos, helo, peer, message_id, subject, sender,"
    " addressees, attachments, snippet, defect"
)


def row_of(public_id: str, envelope: Envelope, raw: bytes, mail: Mail) -> dict[str, str | int]:
    """Return the values of a new row by their columns."""
    bcc = mail.bcc + _hidden(envelope, mail)
    everybody = (*([mail.sender] if mail.sender else []), *mail.to, *mail.cc, *bcc, *mail.reply_to)
    names = [str(address) for address in everybody]
    files = [attachment.file_name for attachment in mail.attachments]
    return {
        "public_id": public_id,
        "received_us": envelope.received_us,
        "size": len(raw),
        "mail_from": envelope.mail_from,
        "rcpt_tos": json.dumps(envelope.rcpt_tos),
        "helo": envelope.helo,
        "peer": envelope.peer,
        "message_id": mail.message_id,
        "subject": mail.subject,
        "sender": _dump([mail.sender] if mail.sender else []),
        "addressees": json.dumps([_pairs(each) for each in (mail.to, mail.cc, bcc, mail.reply_to)]),
        "attachments": sum(not attachment.inline for attachment in mail.attachments),
        "snippet": mail.snippet(),
        "defect": mail.defect,
        "found_to": fold_capped(", ".join(map(str, mail.to))),
        "found_subject": fold_capped(mail.subject),
        "found_text": fold_capped(" ".join([mail.subject, *names, *files, mail.readable_text()])),
    }


def _hidden(envelope: Envelope, mail: Mail) -> tuple[Address, ...]:
    named = {address.address.casefold() for address in (*mail.to, *mail.cc, *mail.bcc)}
    return tuple(Address("", address) for address in envelope.rcpt_tos if address.casefold() not in named)


def _pairs(addresses: tuple[Address, ...]) -> list[tuple[str, str]]:
    return [(address.name, address.address) for address in addresses]


def _dump(addresses: list[Address]) -> str:
    return json.dumps(_pairs(tuple(addresses)))


def summary_of(row: Mapping[str, Any]) -> Summary:
    """Read a row with the columns of SUMMARY_COLUMNS."""
    to, cc, bcc, reply_to = (_addresses(each) for each in json.loads(row["addressees"]))
    envelope = Envelope(
        mail_from=row["mail_from"],
        rcpt_tos=tuple(json.loads(row["rcpt_tos"])),
        helo=row["helo"],
        peer=row["peer"],
        received_us=row["received_us"],
    )
    return Summary(
        row_id=row["id"],
        public_id=row["public_id"],
        envelope=envelope,
        size=row["size"],
        is_read=bool(row["read"]),
        message_id=row["message_id"],
        subject=row["subject"],
        sender=next(iter(_addresses(json.loads(row["sender"]))), None),
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to,
        attachments=row["attachments"],
        snippet=row["snippet"],
        defect=row["defect"],
    )


def _addresses(pairs: list[tuple[str, str]]) -> tuple[Address, ...]:
    return tuple(Address(name, address) for name, address in pairs)
