"""What the classes that register readers and change accounts share."""

from collections.abc import Callable
from dataclasses import dataclass

from mailpact.database.transactions import Database
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.mailer import Mailer
from mailpact_producer.passwords import PasswordHashing


@dataclass(frozen=True, slots=True)
class AccountWork:
    """The tools for changing accounts and for mailing about the changes.

    `new_secret` returns 256 random bits as text.
    """

    database: Database
    passwords: PasswordHashing
    mailer: Mailer
    gate: MailGate
    new_secret: Callable[[], str]
