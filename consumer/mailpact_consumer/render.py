"""Renders a mail: the same request gives the same bytes, on every machine and at every try (RFC 5322, RFC 2045).

The header is written here, line by line, because every byte of it is a promise: addresses have passed the contract's
pattern (ASCII, no quoting), the subject is one line by construction, and nothing else comes from the publisher.
"""

import re
from base64 import encodebytes
from datetime import datetime
from email.utils import format_datetime

from mailpact_consumer.fields import mailboxes_field, one_line, subject_field
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.message import MailRequest, Recipient
from mailpact_consumer.parts import SEVEN_BIT

NO_SUBJECT = "(no subject)"
LINE_END = re.compile(r"\r\n|\n|\r")


def subject_of(text: str) -> str:
    """Return the subject of an email/1 text: its first line that is not blank, cleaned and cut at 200 code points.

    Lines end at CRLF, LF or CR and at nothing else; other control characters become spaces.
    """
    for line in LINE_END.split(text):
        subject = one_line(line)
        if subject:
            return subject
    return NO_SUBJECT


def mail_message_id(message_id: str, recipient: Recipient, domain: str) -> str:
    """Return the mail's Message-ID, which names message and recipient, so that a second copy is recognised as one."""
    return f"<{message_id}.{recipient.sha256[:8]}@{domain}>"


def render(
    request: MailRequest, recipient: Recipient, *, mail_from: Mailbox, domain: str, date: datetime
) -> bytes:
    """Return the mail's bytes with CRLF line ends. `date` is aware; it must not differ from try to try."""
    if SEVEN_BIT.fullmatch(request.text):
        charset, encoding, body = "us-ascii", "7bit", request.text.encode("ascii")
    else:
        charset, encoding, body = "utf-8", "base64", encodebytes(request.text.encode())
    header = (
        f"From: {mailboxes_field([mail_from])}\n"
        f"To: {recipient.address}\n"
        f"Subject: {subject_field(subject_of(request.text))}\n"
        f"Date: {format_datetime(date)}\n"
        f"Message-ID: {mail_message_id(request.message_id, recipient, domain)}\n"
        "Auto-Submitted: auto-generated\n"
        "MIME-Version: 1.0\n"
        f'Content-Type: text/plain; charset="{charset}"\n'
        f"Content-Transfer-Encoding: {encoding}\n"
        "\n"
    )
    return (header.encode("ascii") + body).replace(b"\n", b"\r\n")
