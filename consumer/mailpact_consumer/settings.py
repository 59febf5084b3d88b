"""What an operator sets for a consumer."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mailpact.settings import AmqpUrl, DatabaseUrl, SmtpUrl
from mailpact_consumer.mailbox import Mailbox


class SmtpTls(StrEnum):
    """Whether a connection by `smtp://` is encrypted with STARTTLS; `smtps://` always is."""

    OPPORTUNISTIC = "opportunistic"
    """If the server offers STARTTLS."""
    REQUIRED = "required"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """One consumer process. `mail_from` is the From of every mail of `email/1`."""

    amqp_url: AmqpUrl
    smtp_url: SmtpUrl
    inbox_url: DatabaseUrl
    mail_from: Mailbox
    envelope_from: str = ""
    """The sender in MAIL, to whom bounces go; the address of `mail_from` when empty."""
    prefetch: int = 32
    """How many messages may be held unsettled at once."""
    smtp_connections: int = 8
    """How many connections to the mail server may be open at once; twice as many when answers take more than 1 s."""
    smtp_rate: int | None = None
    """How many mails are begun per second at most; None for no limit."""
    smtp_tls: SmtpTls = SmtpTls.OPPORTUNISTIC
    smtp_ca_file: Path | None = None
    """The CAs that may have signed the mail server's certificate; None for those of the machine."""

    @property
    def mail_domain(self) -> str:
        """The domain that mails come from: right side of their Message-IDs, and our name in EHLO."""
        return self.mail_from.domain

    @property
    def sender(self) -> str:
        """The address in MAIL."""
        return self.envelope_from or self.mail_from.address

    @property
    def tls(self) -> SmtpTls:
        """What `smtp_tls` comes to: a password never travels without encryption."""
        return self.smtp_tls if self.smtp_url.password is None else SmtpTls.REQUIRED
