"""Enqueues the site's mails in the same transaction as the change that they report."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection

from mailpact.contracts.errors import Refusal
from mailpact.telemetry import Journey, Point
from mailpact_producer import tokens, trace
from mailpact_producer.errors import ContractBroken
from mailpact_producer.events import CONTRACT, Writer, mail_body
from mailpact_producer.mails import Mail, MailTexts
from mailpact_producer.store import mails, outbox
from mailpact_producer.store.outbox import Claimed


@dataclass(slots=True)
class NewMessage:
    """A message that is to be made: its id, and the trace context of the request that causes the message.

    `claim` is the relay's claim under which the message's row is stored, and `row` is that row after it was stored.
    Both are None if the relay has to find the message in the outbox.
    """

    id: str
    traceparent: str | None
    claim: str | None
    row: Claimed | None = None


class Mailer:
    """Makes messages of mails.

    `claim_ahead` returns the claim under which the next message is stored, and `hand_over` passes its row to the relay
    after the commit. Without a claim there is no row, and the relay has to find the message in the outbox.
    """

    def __init__(
        self,
        writer: Writer,
        texts: MailTexts,
        journey: Journey,
        key: bytes,
        *,
        claim_ahead: Callable[[], str | None],
        hand_over: Callable[[Claimed | None], None],
        now_seconds: Callable[[], float],
    ) -> None:
        self.texts = texts
        self._writer = writer
        self._journey = journey
        self._key = key
        self._claim_ahead = claim_ahead
        self._hand_over = hand_over
        self._now_seconds = now_seconds

    def new_message(self, form: str = "", what: str = "", email: str = "") -> NewMessage:
        """Return the id and trace of the message that the form of the current request causes.

        The same form, purpose and address give the same id; without a form the id is random.
        """
        message_id = tokens.message_id(self._key, form, what, email) if form else str(uuid4())
        return NewMessage(message_id, trace.current.get(), self._claim_ahead())

    def holds(self, connection: Connection, new: NewMessage) -> bool:
        """Return whether another transaction has enqueued a message with this id before.

        A database may undo a transaction and run its work again. A row that the undone run has stored is forgotten
        here; otherwise the relay would get this row although it was never committed.
        """
        new.row = None
        return outbox.holds(connection, new.id)

    def enqueue(
        self, connection: Connection, mail: Mail, new: NewMessage, *, user_id: int | None = None
    ) -> None:
        """Store the message of a mail; the message exists if this transaction is committed. Raises ContractBroken.

        `user_id` is the reader of the mail, so that administrators see the mail's state; None for a mail to somebody
        whose account was deleted.
        """
        message = self._writer.new_message(
            mail_body(mail),
            message_id=new.id,
            made_at_seconds=int(self._now_seconds()),
            traceparent=new.traceparent,
        )
        if isinstance(message, Refusal):
            raise ContractBroken(f"{CONTRACT} refuses our message: {message.code}, {message.detail}")
        new.row = outbox.enqueue(connection, message, contract=CONTRACT, claim=new.claim)
        if user_id is not None:
            mails.add(connection, new.id, user_id=user_id, template=mail.template, email=mail.to)

    def committed(self, new: NewMessage) -> None:
        """Record that the transaction with the message was committed."""
        self._journey.reach(Point.COMMITTED, new.id)
        self._hand_over(new.row)
