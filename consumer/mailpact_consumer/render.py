"""Renders a mail: the same request gives the same bytes, on every machine and at every try (RFC 5322, RFC 2045).

The header is written here, line by line, so that every byte is known: addresses have passed the contract's pattern
(ASCII, no quoting), the subject is one line by construction, and nothing else comes from the publisher. Mails of
email/2 are rendered in `render_mail.py`.
"""

import re
from base64 import encodebytes
from datetime import datetime

from mailpact.contracts.errors import Refusal
from mailpact_consumer.fields import date_field, mailboxes_field, one_line, subject_field
from mailpact_consumer.mail import Mail
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.message import MailRequest, Recipient
from mailpact_consumer.parts import is_seven_bit
from mailpact_consumer.render_mail import RenderedMail, render_mail

NO_SUBJECT = "(no subject)"
BOUNDARY_CHARACTERS = 24
LINE_END = re.compile(r"\r\n|\n|\r")


def subject_of(text: str) -> str:
    """Return the subject of an email/1 text: its first line that is not blank, cleaned and cut at 200 code points.

    Only CRLF, LF and CR end a line; other control characters become spaces.
    """
    for line in LINE_END.split(text):
        subject = one_line(line)
        if subject:
            return subject
    return NO_SUBJECT


def mail_message_id(message_id: str, recipient: Recipient, domain: str) -> str:
    """Return the mail's Message-ID. It names message and recipient, so that a second copy can be recognised."""
    return f"<{message_id}.{recipient.sha256[:8]}@{domain}>"


class Renderer:
    """Renders the mails of one request; parts that are the same for all recipients are rendered only once."""

    def __init__(self, request: MailRequest, *, mail_from: Mailbox, domain: str) -> None:
        self._request = request
        self._mail_from = mail_from
        self._domain = domain
        self._rendered: dict[datetime, RenderedMail] = {}

    def mail(self, recipient: Recipient, *, first_seen: datetime) -> bytes:
        """Return the mail's bytes with CRLF line ends. `first_seen` is aware, and the same at every try.

        The mail's Date is the message's timestamp or else `first_seen`, and never earlier than `not_before`.
        """
        request = self._request
        date = request.timestamp or first_seen
        if request.period.not_before is not None:
            date = max(date, request.period.not_before)
        message_id = mail_message_id(request.message_id, recipient, self._domain)
        match request.content:
            case str(text):
                return render_text(text, recipient, message_id, mail_from=self._mail_from, date=date)
            case Mail() as mail:
                if date not in self._rendered:
                    boundary = request.body_sha256[:BOUNDARY_CHARACTERS]
                    self._rendered[date] = render_mail(mail, date=date, boundary=boundary)
                return self._rendered[date].with_message_id(message_id)
            case Refusal():
                raise AssertionError("a refused message has no mail")


def render_text(
    text: str, recipient: Recipient, message_id: str, *, mail_from: Mailbox, date: datetime
) -> bytes:
    """Return the bytes of a mail of `email/1`. `date` is aware; it must not differ from try to try."""
    if is_seven_bit(text):
        charset, encoding, body = "us-ascii", "7bit", text.encode("ascii")
    else:
        charset, encoding, body = "utf-8", "base64", encodebytes(text.encode())
    header = (
        f"From: {mailboxes_field([mail_from])}\n"
        f"To: {recipient.address}\n"
        f"Subject: {subject_field(subject_of(text))}\n"
        f"Date: {date_field(date)}\n"
        f"Message-ID: {message_id}\n"
        "Auto-Submitted: auto-generated\n"
        "MIME-Version: 1.0\n"
        f'Content-Type: text/plain; charset="{charset}"\n'
        f"Content-Transfer-Encoding: {encoding}\n"
        "\n"
    )
    return (header.encode("ascii") + body).replace(b"\n", b"\r\n")
