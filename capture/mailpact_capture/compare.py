"""Compare a message's body with the mails that were made from it, member by member. Pure.

Only values that must appear literally in the mail are compared. Values that the consumer makes by its own rules, such
as the texts of a template, are listed but not compared.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_capture.addresses import Address
from mailpact_capture.asked import shown_text
from mailpact_capture.journeys import Asked
from mailpact_capture.records import StoredMail

MOST_LISTED: Final = 50
RECIPIENTS: Final = "recipients"


class Agreement(StrEnum):
    """The result of a comparison."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class Compared:
    """One member of the body: the value in the message and the value in the mail, both safe to show."""

    what: str
    asked: str
    sent: str
    agreement: Agreement


def compare(
    asked: Asked, body: JsonObject, mails: Sequence[StoredMail], *, is_complete: bool = True
) -> list[Compared]:
    """Return for each member of the body the asked value and the mails' value; one row for each difference.

    If the list of mails is not complete, the rows do not say which recipients got a mail.
    """
    if asked.contract == "email/1":
        rows = _first_version(body, mails)
    elif asked.contract == "email/2":
        rows = _second_version(body, mails)
    else:
        rows = []
    said = [row for row in rows if (row.asked or row.sent) and (is_complete or row.what != RECIPIENTS)]
    return list(dict.fromkeys(said))


def _first_version(body: JsonObject, mails: Sequence[StoredMail]) -> list[Compared]:
    rows = [_recipients([_text(body, "email")], mails)]
    for stored in mails:
        rows.append(_addresses("To", [_text(body, "email")], stored.mail.to))
        rows.append(_same_text("text", _text(body, "message"), stored.mail.text))
        rows.append(Compared("subject", "derived from the text", stored.mail.subject, Agreement.NOT_COMPARED))
    return rows


def _second_version(body: JsonObject, mails: Sequence[StoredMail]) -> list[Compared]:
    lists = {name: _mailboxes(body.get(name)) for name in ("to", "cc", "bcc")}
    rows = [_recipients([each for addresses in lists.values() for each in addresses], mails)]
    for stored in mails:
        mail = stored.mail
        rows.append(_addresses("To", lists["to"], mail.to))
        rows.append(_addresses("Cc", lists["cc"], mail.cc))
        rows.append(_addresses("Bcc in the header", [], mail.bcc))
        rows += _sender(body, stored)
        rows.append(_addresses("Reply-To", _mailboxes([body.get("reply_to")]), mail.reply_to))
        rows += _content(body, stored)
        rows.append(_attachments(body, stored))
        rows += _times(body, stored)
    return rows


def _sender(body: JsonObject, stored: StoredMail) -> list[Compared]:
    sender = [] if stored.mail.sender is None else [stored.mail.sender]
    if isinstance(body.get("from"), dict):
        return [_addresses("From", _mailboxes([body["from"]]), sender)]
    return [
        Compared(
            "From",
            "the operator's sender",
            _listed([each.address for each in sender]),
            Agreement.NOT_COMPARED,
        )
    ]


def _content(body: JsonObject, stored: StoredMail) -> list[Compared]:
    mail = stored.mail
    template = body.get("template")
    if isinstance(template, dict):
        named = f"{template.get('name')}/{template.get('version')}, {template.get('locale')}"
        return [Compared("template", shown_text(named), mail.subject, Agreement.NOT_COMPARED)]
    rows = [_same_text("subject", _text(body, "subject"), mail.subject)]
    for what, sent in (("text", mail.text), ("html", mail.html)):
        if what in body or (sent and what == "html"):
            rows.append(_same_text(what, _text(body, what), sent))
    return rows


def _attachments(body: JsonObject, stored: StoredMail) -> Compared:
    files = body.get("attachments")
    wanted = [
        (_text(file, "filename"), _digest(_decoded(_text(file, "content"))))
        for file in (files if isinstance(files, list) else ())
        if isinstance(file, dict)
    ]
    came = [(each.part.file_name(), _digest(each.content(stored.raw))) for each in stored.mail.attachments]
    is_same = sorted(wanted) == sorted(came)
    return Compared("attachments", _files(wanted), _files(came), _agreement(is_same=is_same))


def _times(body: JsonObject, stored: StoredMail) -> list[Compared]:
    rows = []
    received = datetime.fromtimestamp(stored.summary.envelope.received_us / 1_000_000, UTC)
    for name, is_kept in (("not_before", received.__ge__), ("expires_at", received.__le__)):
        moment = _moment(body.get(name))
        if moment is not None:
            said = f"{received:%Y-%m-%dT%H:%M:%SZ}"
            rows.append(
                Compared(
                    name, _text(body, name)[:40], f"received {said}", _agreement(is_same=is_kept(moment))
                )
            )
    return rows


def _recipients(wanted: Sequence[str], mails: Sequence[StoredMail]) -> Compared:
    came = [recipient for stored in mails for recipient in stored.summary.envelope.rcpt_tos]
    asked, sent = sorted(map(_folded, set(wanted))), sorted(map(_folded, set(came)))
    return Compared(
        RECIPIENTS,
        _listed(sorted(set(wanted))),
        _listed(sorted(set(came))),
        _agreement(is_same=asked == sent),
    )


def _addresses(what: str, wanted: Sequence[str], came: Sequence[Address]) -> Compared:
    sent = [each.address for each in came]
    is_same = sorted({_folded(each) for each in wanted}) == sorted({_folded(each) for each in sent})
    return Compared(what, _listed(wanted), _listed(sent), _agreement(is_same=is_same))


def _same_text(what: str, wanted: str, sent: str) -> Compared:
    is_same = _lines(wanted) == _lines(sent)
    return Compared(what, shown_text(wanted)[:500], shown_text(sent)[:500], _agreement(is_same=is_same))


def _agreement(*, is_same: bool) -> Agreement:
    return Agreement.SAME if is_same else Agreement.DIFFERENT


def _lines(text: str) -> list[str]:
    """Return the lines of a text without line ends and without the empty lines at the end of a mail's text."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def _folded(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.lower()}"


def _mailboxes(value: JsonValue | None) -> list[str]:
    if not isinstance(value, list):
        return []
    return [_text(each, "address") for each in value if isinstance(each, dict) and "address" in each]


def _text(value: JsonObject, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MOST_LISTED} more" if len(texts) > MOST_LISTED else ""
    return ", ".join(text[:254] for text in texts[:MOST_LISTED]) + more


def _files(files: Sequence[tuple[str, str]]) -> str:
    return _listed([f"{name} ({digest[:8]})" for name, digest in files])


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _moment(value: JsonValue | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
