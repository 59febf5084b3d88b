"""The store's results, and the conversion of a mail into a row and back. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mailpact_capture.addresses import Address
from mailpact_capture.envelope import Envelope
from mailpact_capture.mail import Mail
from mailpact_capture.search import TAG_MARK, fold, fold_capped


@dataclass(frozen=True, slots=True)
class Summary:
    """A mail as an entry of the list. `bcc` also has each recipient of the envelope that no header field names."""

    row_id: int
    public_id: str
    envelope: Envelope
    size: int
    is_read: bool
    tags: tuple[str, ...]
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
    """A page of the list, newest first. `found` counts the mails that the query finds, `total` all mails.

    `cursor` is the highest row id that any mail ever had; each later mail has a higher row id. `tags` are all tags in
    use.
    """

    summaries: tuple[Summary, ...]
    total: int
    unread: int
    found: int
    found_unread: int
    cursor: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One mail with its parsed content, envelope and bytes."""

    summary: Summary
    raw: bytes
    mail: Mail


MAX_TAG_CHARACTERS: Final = 100

SUMMARY_COLUMNS: Final = (
    "id, public_id, received_us, size, read, tags, mail_from, rcpt_tos, helo, peer, username, message_id, subject,"
    " addressees, attachments, snippet, defect"
)


def row_of(
    public_id: str, envelope: Envelope, size: int, mail: Mail, tags: tuple[str, ...]
) -> dict[str, str | int]:
    """Return the values of a new row by their columns."""
    bcc = mail.bcc + _hidden(envelope, mail)
    sender = (mail.sender,) if mail.sender else ()
    everybody = (*sender, *mail.to, *mail.cc, *bcc, *mail.reply_to)
    files = [attachment.part.file_name() for attachment in mail.attachments]
    inlines = sum(attachment.inline for attachment in mail.attachments)
    return {
        "public_id": public_id,
        "received_us": envelope.received_us,
        "size": size,
        **tag_columns(tags),
        "mail_from": envelope.mail_from,
        "rcpt_tos": json.dumps(envelope.rcpt_tos),
        "helo": envelope.helo,
        "peer": envelope.peer,
        "username": envelope.username,
        "message_id": mail.message_id,
        "subject": mail.subject,
        "addressees": json.dumps([_pairs(each) for each in (sender, mail.to, mail.cc, bcc, mail.reply_to)]),
        "attachments": len(mail.attachments) - inlines,
        "inlines": inlines,
        "snippet": mail.snippet(),
        "defect": mail.defect,
        "found_from": _folded(sender),
        "found_to": _folded(mail.to),
        "found_cc": _folded(mail.cc),
        "found_bcc": _folded(bcc),
        "found_reply_to": _folded(mail.reply_to),
        "found_rcpt": fold_capped(", ".join(envelope.rcpt_tos)),
        "found_message_id": fold_capped(mail.message_id),
        "found_subject": fold_capped(mail.subject),
        "found_text": fold_capped(" ".join([mail.subject, *map(str, everybody), *files, mail.words()])),
    }


def clean_tag(text: str) -> str | None:
    """Return a tag with single blanks between its words; None if the tag is empty, too long or not printable."""
    tag = " ".join(text.split())
    return tag if 0 < len(tag) <= MAX_TAG_CHARACTERS and tag.isprintable() else None


def distinct_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags without those that differ from an earlier tag only in upper and lower case."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(tag.casefold(), tag)
    return tuple(found.values())


def tag_columns(tags: tuple[str, ...]) -> dict[str, str]:
    """Return the columns that hold a mail's tags."""
    if not tags:
        return {"tags": "[]", "found_tags": ""}
    marked = TAG_MARK + TAG_MARK.join(fold(tag) for tag in tags) + TAG_MARK
    return {"tags": json.dumps(tags), "found_tags": marked}


def _hidden(envelope: Envelope, mail: Mail) -> tuple[Address, ...]:
    named = {address.address.casefold() for address in (*mail.to, *mail.cc, *mail.bcc)}
    return tuple(Address("", address) for address in envelope.rcpt_tos if address.casefold() not in named)


def _pairs(addresses: tuple[Address, ...]) -> list[tuple[str, str]]:
    return [(address.name, address.address) for address in addresses]


def _folded(addresses: tuple[Address, ...]) -> str:
    return fold_capped(", ".join(map(str, addresses))) if addresses else ""


def summary_of(row: Mapping[str, Any]) -> Summary:
    """Return the summary that a row with the columns of SUMMARY_COLUMNS holds."""
    sender, to, cc, bcc, reply_to = (_addresses(each) for each in json.loads(row["addressees"]))
    envelope = Envelope(
        mail_from=row["mail_from"],
        rcpt_tos=tuple(json.loads(row["rcpt_tos"])),
        helo=row["helo"],
        peer=row["peer"],
        received_us=row["received_us"],
        username=row["username"],
    )
    return Summary(
        row_id=row["id"],
        public_id=row["public_id"],
        envelope=envelope,
        size=row["size"],
        is_read=bool(row["read"]),
        tags=tuple(json.loads(row["tags"])),
        message_id=row["message_id"],
        subject=row["subject"],
        sender=sender[0] if sender else None,
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
