"""Settles deliveries. Each step begins only after the step before it is confirmed.

    sent:      250                                  ->  inbox says `sent`                     ->  ack
    put off:   inbox says `deferred`                ->  retry copy confirmed by the broker    ->  ack
    dead:      letter confirmed by the broker       ->  inbox says `failed` or `expired`      ->  ack

A crash between two steps repeats a step that does no harm: the message comes again and is found to be done, or put off.
(A letter confirmed just before a crash can be written twice, or be followed by the mail after all.)
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import structlog

from mailpact.amqp.backoff import backoff_seconds
from mailpact.amqp.messages import Message, Outcome
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.subscriber import Delivery
from mailpact.database.transactions import DatabaseUnavailable
from mailpact.telemetry import Journey, Point
from mailpact_consumer.decide import State
from mailpact_consumer.events import Events
from mailpact_consumer.in_flight import InFlight
from mailpact_consumer.inbox import Inbox, Reported, Sent, Transition
from mailpact_consumer.letter_window import LetterWindow
from mailpact_consumer.metrics import Metrics
from mailpact_consumer.queues import DEAD_LETTER_EXCHANGE, RETRY_EXCHANGE
from mailpact_consumer.schedule import Step
from mailpact_consumer.status import StatusEvent

T = TypeVar("T")

log = structlog.get_logger()


class Settlement:
    """Records outcomes, writes letters and retry copies, and acks.

    Dead letters have their own publisher, so that letters that the broker does not accept never delay a retry copy.
    """

    def __init__(
        self,
        inbox: Inbox,
        events: Events,
        *,
        letters: Publisher,
        retries: Publisher,
        journey: Journey,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._inbox = inbox
        self._events = events
        self._letters = letters
        self._retries = retries
        self._journey = journey
        self._ids = InFlight()
        self._letter_window = LetterWindow()
        self._log = log.bind()  # without this, structlog would bind the module's logger again for each line

    async def sent(self, sent: Sent, event: StatusEvent, *, events: int, timestamp: datetime | None) -> None:
        """Record the mail that the server accepted; `events` counts the row's status events including this one.

        `timestamp` is the message's own; the time to delivery is measured from it.
        """
        self._metrics.sent(timestamp)
        recorded_at = await _until_committed(lambda: self._inbox.record_sent(sent))
        key = sent.subject.key
        self._journey.reach(Point.SENT, key.message_id)
        self._log.info("mail sent", message_id=key.message_id, smtp_code=sent.smtp_code)
        self._events.recorded(Reported(key, events, recorded_at), event)

    async def moved(self, transition: Transition, event: StatusEvent | None, *, events: int) -> bool:
        """Record a transition; return False if the row has changed since it was read, so decide again."""
        moved_at = await _until_committed(lambda: self._inbox.move(transition))
        if moved_at is None:
            return False
        key = transition.subject.key
        self._journey.reach(
            Point.DEFERRED if transition.state is State.DEFERRED else Point.ENDED, key.message_id
        )
        if event is not None:
            self._events.recorded(Reported(key, events, moved_at), event)
        return True

    def recorded(self, reported: Reported, event: StatusEvent) -> None:
        """Publish a status event that was written with a claim."""
        self._events.recorded(reported, event)

    def announce(self, event: StatusEvent) -> None:
        """Publish a status event that is stored in no row."""
        self._events.once(event)

    async def buried(self, letter: Message, *, key: str) -> Outcome:
        """Publish a dead letter; for any result except CONFIRMED, the letter must be published again.

        The broker's answer is waited for up to 10 minutes, because a blocking broker answers when the alarm is over.
        """
        async with self._ids.hold(letter.message_id or ""), self._letter_window.place() as may_publish:
            if not may_publish:
                return Outcome.NOT_SENT
            outcome = await self._letters.publish(letter, exchange=DEAD_LETTER_EXCHANGE)
            if outcome is Outcome.CONFIRMED:
                self._letter_window.confirmed()
        if outcome is Outcome.CONFIRMED:
            self._journey.reach(Point.BURIED, key)
            self._metrics.dead_letters.labels(str(letter.headers["x-error-code"])).inc()
        return outcome

    async def letters_are_blocked(self) -> bool:
        """Return whether the broker accepts no publishes for now."""
        return await self._letters.is_blocked()

    async def put_off(self, copy: Message, step: Step, *, key: str) -> Outcome:
        """Publish the retry copy; for any result except CONFIRMED, the copy must be published again."""
        async with self._ids.hold(copy.message_id or ""):
            outcome = await self._retries.publish(copy, exchange=RETRY_EXCHANGE, routing_key=step.name)
        if outcome is Outcome.CONFIRMED:
            self._journey.reach(Point.PUT_OFF, key)
        return outcome

    async def done(self, delivery: Delivery, *, key: str) -> None:
        """Acknowledge the message. If its channel is closed, it is delivered again and then recognised as done."""
        if await delivery.ack():
            self._journey.reach(Point.ACKED, key)


async def _until_committed(commit: Callable[[], Awaitable[T]]) -> T:
    """Record an outcome that has already happened; repeat until the database accepts the record.

    A stop waits for this as long as possible. If the record is then cut off, the row still says `sending`, and the
    consumer that gets the message next reports it as uncertain.
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
