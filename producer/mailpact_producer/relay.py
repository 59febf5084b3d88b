"""Takes messages from the outbox to the broker: claim, publish, settle, for ever.

It is nudged after each commit, so a message usually leaves within milliseconds, and looks by itself every second for
what others left behind. Any number of relays may share an outbox.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

import structlog
from sqlalchemy import Connection

from mailpact.amqp.messages import Message
from mailpact.amqp.publisher import Publisher
from mailpact.contracts.catalogue import Contract
from mailpact.contracts.validate import Validator
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.telemetry import Journey, Point
from mailpact_producer.events import refusal_of
from mailpact_producer.relay_plan import Again, Published, plan
from mailpact_producer.store import outbox
from mailpact_producer.store.outbox import Claimed

APP_ID = "mailpact-producer"
BATCH = 100
POLL_SECONDS = 1.0

log = structlog.get_logger()


class Relay:
    """One relay over one outbox."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        contract: Contract,
        *,
        journey: Journey,
        new_id: Callable[[], str],
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._contract = contract
        self._writer = Validator(contract.writer_schema)
        self._journey = journey
        self._new_id = new_id
        self._nudged = asyncio.Event()
        self._in_trouble = False

    def nudge(self) -> None:
        """Say that there is something new in the outbox."""
        self._nudged.set()

    async def run(self) -> None:
        """Relay until cancelled; a batch that was claimed is settled first."""
        while True:
            await self._publisher.wait_until_open()
            self._nudged.clear()
            relayed = 0
            try:
                relayed = await _to_its_end(self._relay_batch())
                self._report(None)
            except DatabaseUnavailable as error:
                self._report(str(error))
            if relayed < BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._nudged.wait()

    async def _relay_batch(self) -> int:
        claim = self._new_id()
        claimed = await self._database.transact(
            lambda connection: outbox.claim_due(connection, claim=claim, limit=BATCH)
        )
        if not claimed:
            return 0
        dead, sound = self._sort(claimed)
        plans = await asyncio.gather(*(self._publish(row) for row in sound))
        published = [
            row.id for row, planned in zip(sound, plans, strict=True) if isinstance(planned, Published)
        ]
        delays = {
            row.id: planned.after_seconds
            for row, planned in zip(sound, plans, strict=True)
            if isinstance(planned, Again)
        }

        def settle(connection: Connection) -> None:
            outbox.settle_published(connection, published, claim=claim)
            outbox.settle_dead(connection, [row.id for row in dead], claim=claim)
            outbox.put_back(connection, delays, claim=claim)

        await self._database.transact(settle)
        return len(published)

    def _sort(self, claimed: Sequence[Claimed]) -> tuple[list[Claimed], list[Claimed]]:
        dead, sound = [], []
        for row in claimed:
            refusal = refusal_of(row.event.body, self._contract, self._writer)
            if refusal is None:
                sound.append(row)
            else:
                log.error(
                    "an outbox message breaks its own contract",
                    message_id=row.event.message_id,
                    code=refusal.code,
                )
                dead.append(row)
        return dead, sound

    async def _publish(self, row: Claimed) -> Published | Again:
        event = row.event
        self._journey.reach(Point.CLAIMED, event.message_id)
        message = Message(
            body=event.body,
            content_type=event.content_type,
            type=event.type,
            message_id=event.message_id,
            app_id=APP_ID,
            timestamp=row.created_at.replace(microsecond=0),
        )
        outcome = await self._publisher.publish(
            message, exchange=event.exchange, routing_key=event.routing_key
        )
        planned = plan(outcome, attempts=row.attempts, uniform=random.uniform)
        if isinstance(planned, Published):
            self._journey.reach(Point.CONFIRMED, event.message_id)
        return planned

    def _report(self, trouble: str | None) -> None:
        if trouble and not self._in_trouble:
            log.warning("the outbox cannot be read, trying again for ever", reason=trouble)
        if not trouble and self._in_trouble:
            log.warning("the outbox is back")
        self._in_trouble = trouble is not None


async def _to_its_end(batch: Coroutine[None, None, int]) -> int:
    """Await a batch; when cancelled meanwhile, end it first, or its rows would wait for their lease to run out."""
    task = asyncio.create_task(batch)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
