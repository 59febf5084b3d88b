"""Enqueues the site's mails in the transaction of what they tell about."""

from collections.abc import Callable
from uuid import uuid4

from sqlalchemy import Connection

from mailpact.contracts.errors import Refusal
from mailpact.telemetry import Journey, Point
from mailpact_producer import tokens
from mailpact_producer.errors import ContractBroken
from mailpact_producer.events import CONTRACT, Writer, mail_body
from mailpact_producer.mails import Mail, MailTexts
from mailpact_producer.store import outbox


class Mailer:
    """Makes messages of mails; `nudge` tells the relay that there is something to publish."""

    def __init__(
        self,
        writer: Writer,
        texts: MailTexts,
        journey: Journey,
        key: bytes,
        *,
        nudge: Callable[[], None],
        now_seconds: Callable[[], float],
    ) -> None:
        self.texts = texts
        self._writer = writer
        self._journey = journey
        self._key = key
        self._nudge = nudge
        self._now_seconds = now_seconds

    def message_id(self, form: str, what: str, email: str) -> str:
        """Return the id of the message that a form causes; a new one without a form."""
        return tokens.message_id(self._key, form, what, email) if form else str(uuid4())

    def enqueue(self, connection: Connection, mail: Mail, message_id: str) -> None:
        """Store the message of a mail; it exists if this transaction is committed. Raises ContractBroken."""
        made_at = int(self._now_seconds())
        message = self._writer.message(mail_body(mail), message_id=message_id, made_at_seconds=made_at)
        if isinstance(message, Refusal):
            raise ContractBroken(f"{CONTRACT} refuses our message: {message.code}, {message.detail}")
        outbox.enqueue(connection, message, contract=CONTRACT)

    def committed(self, message_id: str) -> None:
        """Note that the transaction with the message is committed."""
        self._journey.reach(Point.COMMITTED, message_id)
        self._nudge()
