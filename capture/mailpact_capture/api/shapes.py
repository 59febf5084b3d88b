"""The JSON of Mailpit's API v1: its names, its types. A list is never null here, where Mailpit's sometimes is."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from mailpact_capture.headers import Address, canonical_name
from mailpact_capture.mail import Attachment, Mail
from mailpact_capture.records import Page, StoredMail, Summary

Json = dict[str, object]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LINK: Final = re.compile(r"<([^<>\s]+)>")


def received_at(received_us: int) -> datetime:
    """Return the moment (UTC) that is so many microseconds after the epoch."""
    return EPOCH + timedelta(microseconds=received_us)


def page_json(page: Page, start: int) -> Json:
    """Write a part of the list (MessagesSummary)."""
    return {
        "total": page.total,
        "unread": page.unread,
        "count": len(page.summaries),
        "messages_count": page.found,
        "messages_unread": page.found_unread,
        "start": start,
        "tags": [],
        "messages": [_summary_json(summary) for summary in page.summaries],
    }


def _summary_json(summary: Summary) -> Json:
    created = received_at(summary.envelope.received_us)
    return {
        "ID": summary.public_id,
        "MessageID": summary.message_id,
        "Read": summary.is_read,
        **_people_json(summary),
        "Subject": summary.subject,
        "Created": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "Username": "",
        "Tags": [],
        "Size": summary.size,
        "Attachments": summary.attachments,
        "Snippet": summary.snippet,
    }


def message_json(stored: StoredMail) -> Json:
    """Write a whole mail (Message)."""
    summary, mail = stored.summary, stored.mail
    date = mail.date or received_at(summary.envelope.received_us)
    return {
        "ID": summary.public_id,
        "MessageID": summary.message_id,
        **_people_json(summary),
        "ReturnPath": summary.envelope.mail_from,
        "Subject": summary.subject,
        "ListUnsubscribe": _list_unsubscribe_json(mail),
        "Date": date.isoformat().replace("+00:00", "Z"),
        "Tags": [],
        "Username": "",
        "Text": mail.text,
        "HTML": mail.html,
        "Size": summary.size,
        "Inline": [_attachment_json(each) for each in mail.attachments if each.inline],
        "Attachments": [_attachment_json(each) for each in mail.attachments if not each.inline],
    }


def headers_json(mail: Mail) -> dict[str, list[str]]:
    """Write all header fields, undecoded, under the names that Mailpit gives them."""
    fields: dict[str, list[str]] = {}
    for name, value in mail.fields:
        fields.setdefault(canonical_name(name), []).append(value)
    return fields


def _people_json(summary: Summary) -> Json:
    return {
        "From": _address_json(summary.sender or Address("", "")),
        "To": _addresses_json(summary.to),
        "Cc": _addresses_json(summary.cc),
        "Bcc": _addresses_json(summary.bcc),
        "ReplyTo": _addresses_json(summary.reply_to),
    }


def _addresses_json(addresses: Iterable[Address]) -> list[Json]:
    return [_address_json(address) for address in addresses]


def _address_json(address: Address) -> Json:
    return {"Name": address.name, "Address": address.address}


def _list_unsubscribe_json(mail: Mail) -> Json:
    header = ", ".join(mail.values("list-unsubscribe"))
    return {
        "Header": header,
        "Links": _LINK.findall(header),
        "Errors": "",
        "HeaderPost": ", ".join(mail.values("list-unsubscribe-post")),
    }


def _attachment_json(attachment: Attachment) -> Json:
    return {
        "PartID": attachment.part_id,
        "FileName": attachment.file_name,
        "ContentType": attachment.content_type,
        "ContentID": attachment.content_id,
        "Size": len(attachment.content),
        "Checksums": attachment.checksums(),
    }
