"""Settles deliveries, each step only after the one before it is certain.

    sent:  250        ->  inbox says `sent`    ->  ack
    dead:  letter confirmed by the broker  ->  inbox says `failed`  ->  ack

A crash between two steps repeats a step that does no harm: the message comes again and is found to be done. (A
letter confirmed just before a crash can be written twice, or be followed by the mail after all.)
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import structlog

from mailpact.amqp.backoff import backoff_seconds
from mailpact.amqp.messages import Message
from mailpact.amqp.outcome import Outcome
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.subscriber import Delivery
from mailpact.database.transactions import DatabaseUnavailable
from mailpact.telemetry import Journey, Point
from mailpact_consumer.inbox import Inbox, Key
from mailpact_consumer.reply import Accepted, Permanent

DEAD_LETTER_EXCHANGE = "email.dlx"

T = TypeVar("T")

log = structlog.get_logger()


class Source(StrEnum):
    """Whose trouble holds a message up."""

    MAIL_SERVER = "mail server"
    BROKER = "broker"
    INBOX = "inbox database"
    OTHER_CONSUMER = "other consumer"


@dataclass(frozen=True, slots=True)
class Held:
    """The message is not settled; it stays with us and is tried again."""

    source: Source
    reason: str


class Settlement:
    """Ends the work on a delivery."""

    def __init__(self, inbox: Inbox, letters: Publisher, journey: Journey) -> None:
        self._inbox = inbox
        self._letters = letters
        self._journey = journey

    async def sent(self, delivery: Delivery, key: Key, reply: Accepted) -> None:
        """Record the mail that the server took, then ack."""
        await _until_committed(lambda: self._inbox.finish_sent(key, reply.code))
        self._journey.reach(Point.SENT, key.message_id)
        log.info("mail sent", message_id=key.message_id, smtp_code=reply.code)
        await self.done(delivery, key.message_id)

    async def failed(
        self, delivery: Delivery, letter: Message, reply: Permanent, *, record: Callable[[], Awaitable[bool]]
    ) -> Held | None:
        """Write the dead letter of a recipient who is refused for good, record that, then ack.

        `record` writes it to the inbox, and says False when somebody else has changed the row meanwhile.
        """
        held = await self._bury(letter)
        if held is not None:
            return held
        if not await _until_committed(record):
            return Held(Source.OTHER_CONSUMER, "it has just taken this message")
        log.warning("mail server refuses the recipient", message_id=letter.message_id, smtp_code=reply.code)
        await self.done(delivery, letter.message_id or "")
        return None

    async def refused(self, delivery: Delivery, letter: Message, *, code: str) -> Held | None:
        """Write the dead letter of a message that cannot become a mail, then ack."""
        held = await self._bury(letter)
        if held is not None:
            return held
        log.warning("message dead-lettered", message_id=letter.message_id, code=code)
        await self.done(delivery, letter.message_id or "")
        return None

    async def done(self, delivery: Delivery, message_id: str) -> None:
        """Ack. If its channel is gone the message comes again and is found to be done."""
        if await delivery.ack():
            self._journey.reach(Point.ACKED, message_id)

    async def _bury(self, letter: Message) -> Held | None:
        outcome = await self._letters.publish(letter, exchange=DEAD_LETTER_EXCHANGE)
        if outcome is not Outcome.CONFIRMED:
            return Held(Source.BROKER, f"a dead letter was {outcome.replace('_', ' ')}")
        self._journey.reach(Point.BURIED, letter.message_id or "")
        return None


async def _until_committed(commit: Callable[[], Awaitable[T]]) -> T:
    """Record what has happened already, however often the database has to be asked.

    A stop lets it go on as long as it can; cut off then, the row still says `sending`, and whoever gets the message
    next reports it as uncertain.
    """
    failures = 0
    while True:
        try:
            return await commit()
        except DatabaseUnavailable as error:
            failures += 1
            if failures == 1:
                log.warning("an outcome cannot be recorded yet", reason=str(error))
        await asyncio.sleep(backoff_seconds(failures, random.uniform))
