"""What an operator sets for a consumer."""

from dataclasses import dataclass

from mailpact.settings import AmqpUrl, DatabaseUrl, SmtpUrl


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """One consumer process. `mail_from` is the envelope sender and the From of every mail, an ASCII address."""

    amqp_url: AmqpUrl
    smtp_url: SmtpUrl
    inbox_url: DatabaseUrl
    mail_from: str
    prefetch: int = 32
    """How many messages may be held unsettled at once."""
    smtp_connections: int = 8
    """How many connections to the mail server may be open at once."""

    @property
    def mail_domain(self) -> str:
        """The domain that mails come from: right side of their Message-IDs, and our name in EHLO."""
        return self.mail_from.rpartition("@")[2]
