"""Renders the mail of a message of email/2: the same mail gives the same bytes, on every machine and at every try.

All mails of a message are equal except for the Message-ID, which names the recipient. So a mail is rendered once, and
each recipient's bytes are made from it. The structure is the smallest that holds all parts;
`contracts/email/2/README.md` has the table.
"""

from dataclasses import dataclass
from datetime import datetime

from mailpact_consumer.fields import date_field, list_unsubscribe_field, mailboxes_field, subject_field
from mailpact_consumer.mail import Mail
from mailpact_consumer.parts import BOUNDARY_MARK, Part, file_part, multipart, text_part

RELATED_TO_HTML = '; type="text/html"'  # RFC 2387 3.1 demands the type of the part that is shown


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail without its Message-ID, with CRLF line ends; the Message-ID comes first."""

    rest: bytes

    def with_message_id(self, message_id: str) -> bytes:
        """Return the mail's bytes. `message_id` is ASCII and includes its angle brackets."""
        return b"Message-ID: %b\r\n%b" % (message_id.encode("ascii"), self.rest)


def render_mail(mail: Mail, *, date: datetime, boundary: str) -> RenderedMail:
    """Return the mail. `date` is aware, `boundary` has 1 to 40 letters and digits; both are the same at each try."""
    body = _body(mail, boundary)
    text = f"{_header(mail, date)}{body.fields}\n{body.body}"
    return RenderedMail(text.encode("ascii").replace(b"\n", b"\r\n"))


def _header(mail: Mail, date: datetime) -> str:
    lines = [f"From: {mailboxes_field([mail.sender])}", f"To: {mailboxes_field(mail.to)}"]
    if mail.cc:
        lines.append(f"Cc: {mailboxes_field(mail.cc)}")
    if mail.reply_to is not None:
        lines.append(f"Reply-To: {mailboxes_field([mail.reply_to])}")
    lines.append(f"Subject: {subject_field(mail.content.subject)}")
    lines.append(f"Date: {date_field(date)}")
    lines.append("Auto-Submitted: auto-generated")  # RFC 3834 5
    if mail.list_unsubscribe is not None:
        lines.append(f"List-Unsubscribe: {list_unsubscribe_field(mail.list_unsubscribe)}")
        if mail.list_unsubscribe.one_click:
            lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")  # RFC 8058 3.1
    lines.append("MIME-Version: 1.0\n")
    return "\n".join(lines)


def _body(mail: Mail, boundary: str) -> Part:
    text, html = mail.content.text, mail.content.html
    inline = [file for file in mail.attachments if file.content_id is not None and html is not None]
    beside = [file for file in mail.attachments if file.content_id is None or html is None]
    shown = [text_part("plain", text)] if text is not None else []
    if html is not None:
        part = text_part("html", html)
        if inline:
            files = [file_part(file, is_inline=True) for file in inline]
            related = f"{BOUNDARY_MARK}r{boundary}"
            part = multipart("related", [part, *files], boundary=related, parameter=RELATED_TO_HTML)
        shown.append(part)
    body = shown[0]
    if len(shown) > 1:
        body = multipart("alternative", shown, boundary=f"{BOUNDARY_MARK}a{boundary}")
    if beside:
        files = [file_part(file, is_inline=False) for file in beside]
        body = multipart("mixed", [body, *files], boundary=f"{BOUNDARY_MARK}m{boundary}")
    return body
