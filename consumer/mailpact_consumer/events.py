"""Publishes status events at once when an outcome is recorded; a sweep publishes unconfirmed events again.

An event is stored in its row until the broker has confirmed the event. No mail waits for this confirm, so a full
queue of a reader of `email.status` can delay events, but never mail. Every consumer sweeps the events of all
consumers, also of dead ones. So an event can be published twice, with the same id.
"""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import structlog
from sqlalchemy import Connection, select, update

from mailpact.amqp.messages import Outcome, Routed
from mailpact.amqp.publisher import WINDOW, Publisher
from mailpact.database import clock
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_consumer.inbox import Inbox, Reported
from mailpact_consumer.inbox_sql import Key, among
from mailpact_consumer.metrics import Metrics
from mailpact_consumer.queues import STATUS_EXCHANGE
from mailpact_consumer.schema import inbox
from mailpact_consumer.status import StatusEvent

MOST_AT_ONCE = 1000
SWEEP_SECONDS = 5.0
OLD_SECONDS = 15  # longer than the 10 seconds that a publish can wait for its answer
SWEPT_AT_ONCE = 100

log = structlog.get_logger()


class Events:
    """Publishes status events to the broker."""

    def __init__(self, database: Database, inbox: Inbox, publisher: Publisher, metrics: Metrics) -> None:
        self._metrics = metrics
        self._database = database
        self._inbox = inbox
        self._publisher = publisher
        self._waiting: list[tuple[StatusEvent, Reported | None]] = []
        self._running: asyncio.Task[None] | None = None

    def recorded(self, reported: Reported, event: StatusEvent) -> None:
        """Publish an event that was just written to its row."""
        self._start(event, reported)

    def once(self, event: StatusEvent) -> None:
        """Publish an event that is not stored in a row. If the broker does not confirm the event, it is lost."""
        self._start(event, None)

    async def sweep(self) -> NoReturn:
        """Publish old unconfirmed events regularly until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if not self._publisher.is_open:
                continue
            try:
                await self.sweep_once()
            except DatabaseUnavailable:
                continue  # other tasks report the error

    async def sweep_once(self) -> int:
        """Publish events that have been due for 15 seconds; return the number of their rows.

        Raises DatabaseUnavailable.
        """
        swept = await self._database.transact(_take_old)
        for reported, bodies in swept:
            outcomes = await self._publish([StatusEvent.read(body) for body in bodies])
            if all(outcome is Outcome.CONFIRMED for outcome in outcomes):
                self._inbox.reported(reported)
        return len(swept)

    async def finish(self, within_seconds: float) -> None:
        """Wait a short time for unconfirmed events. Events without a confirm stay in their rows."""
        if self._running is not None:
            _, unfinished = await asyncio.wait({self._running}, timeout=within_seconds)
            for task in unfinished:
                task.cancel()

    def _start(self, event: StatusEvent, reported: Reported | None) -> None:
        self._metrics.told(event.event)
        if not self._publisher.is_open or len(self._waiting) >= MOST_AT_ONCE:
            return
        self._waiting.append((event, reported))
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._publish_waiting())

    async def _publish_waiting(self) -> None:
        """Publish one batch after the other. Events that arrive during a batch form the next batch."""
        try:
            await asyncio.sleep(0)  # so that all events of this round of the event loop join the batch
            while batch := self._waiting[:WINDOW]:
                del self._waiting[:WINDOW]
                outcomes = await self._publish([event for event, _ in batch])
                for outcome, (_, reported) in zip(outcomes, batch, strict=True):
                    if outcome is Outcome.CONFIRMED and reported is not None:
                        self._inbox.reported(reported)
        finally:
            self._running = None

    async def _publish(self, events: Sequence[StatusEvent]) -> Sequence[Outcome]:
        messages = [
            Routed(event.message(), STATUS_EXCHANGE, event.event, mandatory=False) for event in events
        ]
        return await self._publisher.publish_together(messages)


def _take_old(connection: Connection) -> Sequence[tuple[Reported, Sequence[str]]]:
    """Reserve rows with old events, so that no other consumer takes these rows for the next 15 seconds."""
    now: int = connection.execute(select(clock.now())).scalar_one()
    query = (
        select(inbox.c.message_id, inbox.c.recipient_sha256, inbox.c.events, inbox.c.due)
        .where(inbox.c.due_since < now - OLD_SECONDS * clock.SECOND)
        .order_by(inbox.c.due_since)
        .limit(SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(query).all()
    keys = [Key(row.message_id, row.recipient_sha256) for row in found]
    if keys:
        connection.execute(update(inbox).where(among(keys)).values(due_since=now))
    return [
        (Reported(key, row.events, now), (row.due or "").splitlines())
        for key, row in zip(keys, found, strict=True)
    ]
