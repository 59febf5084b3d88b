"""Publishes status events: at once when an outcome is recorded, and by a sweep what was not confirmed then.

An event lies in its row until the broker has confirmed it. Nothing waits for that: a full queue of somebody who reads
`email.status` may delay events, never mail. Every consumer sweeps, also what a dead one left behind; an event may so
come twice, with the same id.
"""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import structlog
from sqlalchemy import Connection, select, update

from mailpact.amqp.outcome import Outcome
from mailpact.amqp.publisher import WINDOW, Publisher
from mailpact.database import clock
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_consumer.event_batch import publish_together
from mailpact_consumer.inbox import Inbox, Reported
from mailpact_consumer.inbox_sql import Key, among
from mailpact_consumer.metrics import Metrics
from mailpact_consumer.queues import STATUS_EXCHANGE
from mailpact_consumer.schema import inbox
from mailpact_consumer.status import StatusEvent

MOST_AT_ONCE = 1000
SWEEP_SECONDS = 5.0
OLD_SECONDS = 15  # a publish that is still in flight is answered after 10 seconds at most
SWEPT_AT_ONCE = 100

log = structlog.get_logger()


class Events:
    """The way of status events to the broker."""

    def __init__(self, database: Database, inbox: Inbox, publisher: Publisher, metrics: Metrics) -> None:
        self._metrics = metrics
        self._database = database
        self._inbox = inbox
        self._publisher = publisher
        self._waiting: list[tuple[StatusEvent, Reported | None]] = []
        self._running: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def recorded(self, reported: Reported, event: StatusEvent) -> None:
        """Publish an event that was just written to its row."""
        self._start(event, reported)

    def once(self, event: StatusEvent) -> None:
        """Publish an event that no row holds; what is not confirmed is lost."""
        self._start(event, None)

    async def sweep(self) -> NoReturn:
        """Publish what was left, again and again until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if not self._publisher.is_open:
                continue
            try:
                await self.sweep_once()
            except DatabaseUnavailable:
                continue  # said by others, who need the database more

    async def sweep_once(self) -> int:
        """Publish what has been due for 15 seconds; return how many rows had any. Raises DatabaseUnavailable."""
        swept = await self._database.transact(_take_old)
        for reported, bodies in swept:
            outcomes = await self._publish([StatusEvent.read(body) for body in bodies])
            if all(outcome is Outcome.CONFIRMED for outcome in outcomes):
                self._inbox.reported(reported)
        return len(swept)

    async def finish(self, within_seconds: float) -> None:
        """Wait a little for what is in flight; what is not confirmed by then lies in its row."""
        if self._running is not None:
            _, unfinished = await asyncio.wait({self._running}, timeout=within_seconds)
            for task in unfinished:
                task.cancel()

    def _start(self, event: StatusEvent, reported: Reported | None) -> None:
        self._metrics.deliveries.labels(event.event).inc()
        if not self._publisher.is_open or len(self._waiting) >= MOST_AT_ONCE:
            return
        self._waiting.append((event, reported))
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._publish_waiting())

    async def _publish_waiting(self) -> None:
        """Publish one batch after the other; what comes while one is on its way is the next."""
        try:
            await asyncio.sleep(0)  # what this round of the loop records joins the batch
            while batch := self._waiting[:WINDOW]:
                del self._waiting[:WINDOW]
                outcomes = await self._publish([event for event, _ in batch])
                for outcome, (_, reported) in zip(outcomes, batch, strict=True):
                    if outcome is Outcome.CONFIRMED and reported is not None:
                        self._inbox.reported(reported)
        finally:
            self._running = None

    async def _publish(self, events: Sequence[StatusEvent]) -> Sequence[Outcome]:
        messages = [(event.event, event.message()) for event in events]
        async with self._turn:
            return await publish_together(self._publisher, messages, exchange=STATUS_EXCHANGE)


def _take_old(connection: Connection) -> Sequence[tuple[Reported, Sequence[str]]]:
    """Take rows whose events are old, so that no other consumer takes them for the next 15 seconds."""
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
