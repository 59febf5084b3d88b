"""The mail that a message of email/2 asks for, as a value: `email_2.py` makes the value, `render_mail.py` reads it.

All strings have passed the contract's schema: addresses are ASCII without quotes or spaces; names, subjects and file
names are one line.
"""

from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.values import value


@value
class Attachment:
    """A file of the mail: `content` is base64 without line ends, `content_id` the name by which HTML shows the file."""

    filename: str
    content_type: str
    content: str
    content_id: str | None = None


@value
class ListUnsubscribe:
    """How a reader leaves a mailing list (RFC 2369): an https address, and optionally a mail address.

    `one_click` says that the https address accepts the POST of RFC 8058.
    """

    url: str
    mail: str | None = None
    one_click: bool = False


@value
class Content:
    """The content of a mail. At least one of `text` and `html` is set; None means that there is no such part."""

    subject: str
    text: str | None
    html: str | None


@value
class Mail:
    """One mail for all recipients of a message. Recipients of `bcc` are left out, because no header may name them."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    reply_to: Mailbox | None
    content: Content
    attachments: tuple[Attachment, ...]
    list_unsubscribe: ListUnsubscribe | None
