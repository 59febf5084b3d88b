"""The settings of a consumer, which an operator chooses."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mailpact.settings import AmqpUrl, DatabaseUrl
from mailpact_consumer.mailbox import Identities, Mailbox
from mailpact_consumer.schedule import DEFAULT_SCHEDULE, Schedule
from mailpact_consumer.smtp_url import SmtpUrl


class SmtpTls(StrEnum):
    """Whether a connection by `smtp://` is encrypted with STARTTLS; `smtps://` is always encrypted."""

    OPPORTUNISTIC = "opportunistic"
    """If the server offers STARTTLS."""
    REQUIRED = "required"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """The settings of one consumer process. `mail_from` is the From of every mail whose message names no sender."""

    amqp_url: AmqpUrl
    smtp_url: SmtpUrl
    inbox_url: DatabaseUrl
    mail_from: Mailbox
    envelope_from: str = ""
    """The sender in MAIL, to whom bounces go; the address of `mail_from` when empty."""
    prefetch: int = 200
    """How many messages are worked on at once."""
    smtp_connections: int = 20
    """How many connections to the mail server may be open at once; twice as many when answers take more than 1 s."""
    smtp_rate: int | None = None
    """How many mails are begun per second at most; None for no limit."""
    smtp_tls: SmtpTls = SmtpTls.OPPORTUNISTIC
    smtp_ca_file: Path | None = None
    """The CAs that may have signed the mail server's certificate; None for those of the machine."""

    identities: Identities = Identities()
    """The addresses that messages of `email/2` may name as their sender, beside that of `mail_from`."""
    templates: Path | None = None
    """A folder of templates; None for those that come with Mailpact alone."""

    retry_schedule: Schedule = DEFAULT_SCHEDULE
    """How long a message waits after each try that was put off; one retry queue for each step."""
    retry_seconds: float = 4 * 86_400.0
    """The time for trying, after which a message that was always put off becomes a dead letter."""
    unanswered_pause_seconds: float = 300.0
    """The least wait after a mail that the server took without saying whether it keeps the mail."""
    inbox_days: int = 30
    """How many days rows of the inbox are kept after their end; duplicates are known for so long."""

    @property
    def mail_domain(self) -> str:
        """Return the domain of mails: the right side of their Message-IDs, and our name in EHLO."""
        return self.mail_from.domain

    @property
    def sender(self) -> str:
        """Return the address for the MAIL command."""
        return self.envelope_from or self.mail_from.address

    @property
    def tls(self) -> SmtpTls:
        """Return the TLS mode that is used: a password is never sent without encryption."""
        return self.smtp_tls if self.smtp_url.password is None else SmtpTls.REQUIRED
