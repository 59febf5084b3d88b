"""The JSON of Mailpit's API v1, with Mailpit's names and types.

Mailpit sometimes writes null for a list; this server never does.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from mailpact_capture import found_in_text
from mailpact_capture.addresses import Address
from mailpact_capture.envelope import Envelope
from mailpact_capture.headers import Fields, canonical_name
from mailpact_capture.mail import Attachment, Mail, checksums
from mailpact_capture.records import Page, StoredMail, Summary

Json = dict[str, object]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LINK: Final = re.compile(r"<([^<>\s]+)>")


def received_at(received_us: int) -> datetime:
    """Return the time in UTC of a number of microseconds after the epoch."""
    return EPOCH + timedelta(microseconds=received_us)


def page_json(page: Page, start: int) -> Json:
    """Return a part of the list (MessagesSummary)."""
    return {
        "total": page.total,
        "unread": page.unread,
        "count": len(page.summaries),
        "messages_count": page.found,
        "messages_unread": page.found_unread,
        "start": start,
        "tags": list(page.tags),
        "messages": [summary_json(summary) for summary in page.summaries],
    }


def summary_json(summary: Summary) -> Json:
    """Return a mail as an entry of a list (MessageSummary)."""
    created = received_at(summary.envelope.received_us)
    return {
        "ID": summary.public_id,
        "MessageID": summary.message_id,
        "Read": summary.is_read,
        **_people_json(summary),
        "Subject": summary.subject,
        "Created": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "Username": summary.envelope.username,
        "Tags": list(summary.tags),
        "Size": summary.size,
        "Attachments": summary.attachments,
        "Snippet": summary.snippet,
    }


def message_json(stored: StoredMail) -> Json:
    """Return a whole mail (Message)."""
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
        "Tags": list(summary.tags),
        "Username": summary.envelope.username,
        "Text": mail.text,
        "HTML": mail.html,
        "Size": summary.size,
        "Inline": [_attachment_json(each, stored.raw) for each in mail.attachments if each.inline],
        "Attachments": [_attachment_json(each, stored.raw) for each in mail.attachments if not each.inline],
    }


def headers_json(all_fields: Fields) -> dict[str, list[str]]:
    """Return all header fields, undecoded, under the names that Mailpit gives them."""
    fields: dict[str, list[str]] = {}
    for name, value in all_fields:
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


def _attachment_json(attachment: Attachment, raw: bytes) -> Json:
    content = attachment.content(raw)
    return {
        "PartID": attachment.part.part_id,
        "FileName": attachment.part.file_name(),
        "ContentType": attachment.part.content_type,
        "ContentID": attachment.part.content_id(),
        "Size": len(content),
        "Checksums": checksums(content),
    }


def waited_json(stored: StoredMail) -> Json:
    """Return a whole mail with the data that tests need: the links, the one-time codes and the envelope."""
    return {
        **message_json(stored),
        "Links": list(found_in_text.links(stored.mail)),
        "Codes": list(found_in_text.codes(stored.mail)),
        "Envelope": envelope_json(stored.summary.envelope),
    }


def envelope_json(envelope: Envelope) -> Json:
    """Return the envelope: what the SMTP client said in MAIL and RCPT."""
    return {
        "From": envelope.mail_from,
        "Recipients": list(envelope.rcpt_tos),
        "Helo": envelope.helo,
        "Client": envelope.peer,
        "Username": envelope.username,
        "Namespaces": list(envelope.namespaces()),
    }
