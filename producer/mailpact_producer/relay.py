"""The relay: publishes committed messages from the outbox to the broker.

    claim (a transaction) -> publish all as one write, wait for all confirms -> settle (a transaction)

No transaction is open while the relay waits for the broker. A nudge after each commit starts the relay at once. Every
second the relay also checks the outbox for messages whose nudge was lost, whose wait is over, or that other processes
have committed. Every process of the site has a relay; claims prevent two relays from publishing the same message. While
no connection to the broker is open, no message is claimed. A single message is published at once.

While the broker accepts messages, a transaction may store its row under this relay's own claim (`claim_ahead`). After
the commit the row is passed to the relay, which publishes it without reading the outbox. If the process is killed
before that, the claim ends like any other claim.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

import structlog

from mailpact.amqp.messages import Outcome, Routed
from mailpact.amqp.publisher import Publisher
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.telemetry import Journey, Point
from mailpact_producer.events import Writer
from mailpact_producer.relay_plan import Dead, Published, PutBack, Step, step_after
from mailpact_producer.store import outbox
from mailpact_producer.store.outbox import Claimed

BATCH: Final = 64
"""The most rows of a round, and of those that are claimed ahead."""
POLL_SECONDS: Final = 1.0
PACE_SECONDS: Final = 0.04
"""The time between the beginnings of two rounds, so that many messages share the two transactions of a round.

Messages that were claimed ahead share a write to the broker in the same way.
"""
SETTLE_SECONDS: Final = 0.1
"""From one transaction that settles rows which were claimed ahead to the next."""
SWEEP_SECONDS: Final = 5.0
STOP_SECONDS: Final = 5.0  # for messages that are being published

Publishing = asyncio.Task[Sequence[Outcome | Refusal]]

log = structlog.get_logger()


class Relay:
    """One relay; call `run` in a task, and cancel the task to stop the relay."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        writers: Mapping[str, Writer],
        journey: Journey,
        *,
        new_token: Callable[[], str],
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._writers = writers
        self._journey = journey
        self._new_token = new_token
        self._nudged = asyncio.Event()
        self._next_sweep = 0.0
        self._is_reported = False
        self._database_is_away = False
        self._own_claim = new_token()
        self._ready: list[Claimed] = []
        self._published_at = 0.0
        self._publishes: set[Publishing] = set()
        self._in_flight = 0
        self._answered: list[tuple[Claimed, Step]] = []
        self._has_answers = asyncio.Event()
        self._looks_until = 0.0

    def nudge(self) -> None:
        """Signal that a message was committed just now."""
        self._nudged.set()

    def claim_ahead(self) -> str | None:
        """Return the claim under which a transaction may store a message that it hands to `committed`.

        Return None while a message could not be published at once.
        """
        may_publish = self._publisher.is_open and asyncio.get_running_loop().time() >= self._looks_until
        return self._own_claim if may_publish and self._has_room else None

    def committed(self, row: Claimed | None) -> None:
        """Publish a message that was just committed under `claim_ahead`; without a claim, check the outbox.

        Many requests may hold a claim and commit at the same time. Messages that the publisher cannot take at once are
        put back for the rounds, because their claims would end while they wait.
        """
        if row is None:
            self.nudge()
            return
        if not self._has_room:
            self._note([row], [PutBack(0.0, is_attempt=False, reason="")])
            return
        self._ready.append(row)
        if len(self._ready) == 1:
            asyncio.get_running_loop().call_at(self._published_at + PACE_SECONDS, self._publish_ready)

    @property
    def _has_room(self) -> bool:
        return len(self._ready) + self._in_flight + len(self._answered) < BATCH

    async def run(self) -> NoReturn:
        """Relay messages until cancelled; then wait for the messages that are being published, and settle them.

        The wait is at most 5 seconds for the rows of a round, and again for the rows that were claimed ahead.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settle_answers())
            await self._relay_rounds()

    async def _relay_rounds(self) -> NoReturn:
        await self._publisher.wait_until_open()
        log.info("connected to the broker", role="producer")  # later connections are reported by their outage
        while True:
            await self._publisher.wait_until_open()
            self._nudged.clear()
            began = asyncio.get_running_loop().time()
            round_ = asyncio.create_task(self._round())
            try:
                is_more_due = await asyncio.shield(round_)
            finally:
                if not round_.done():
                    await self._end_publishes()
                    await asyncio.wait({round_})
                round_.result()  # an error in the round must be raised
            if not is_more_due:
                await self._wait_for_work()
                await asyncio.sleep(began + PACE_SECONDS - asyncio.get_running_loop().time())

    async def _round(self) -> bool:
        """Relay one batch; return whether more messages may be due."""
        try:
            await self._sweep()
            return await self._relay_batch()
        except DatabaseUnavailable as error:
            self._note_database(error)
            await asyncio.sleep(POLL_SECONDS)
            return False

    def _note_database(self, error: DatabaseUnavailable) -> None:
        if not self._database_is_away:
            log.warning("database in trouble, messages wait in the outbox", reason=str(error))
            self._database_is_away = True

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            count = await self._database.transact(outbox.take_back_expired)
            if count:
                log.warning("messages of a relay that was killed are taken over", count=count)

    async def _relay_batch(self) -> bool:
        token = self._new_token()
        rows = await self._database.transact(
            lambda connection: outbox.claim(connection, token=token, limit=BATCH)
        )
        if self._database_is_away:
            log.warning("database is back")
            self._database_is_away = False
        if not rows:
            return False
        publish = self._publish_in_background(rows)
        await asyncio.wait({publish})
        outcomes = _outcomes(publish, rows)
        await self._settle(list(zip(rows, _steps(rows, outcomes), strict=True)), token)
        if Outcome.NOT_SENT in outcomes:
            # The connection is lost or the broker blocks publishers, so the relay waits before the next try.
            await asyncio.sleep(POLL_SECONDS)
        return len(rows) == BATCH

    async def _settle(self, done: Sequence[tuple[Claimed, Step]], token: str) -> None:
        by_id = [(row.id, step) for row, step in done]
        await self._database.transact(lambda connection: outbox.settle(connection, by_id, token=token))
        self._report(done)

    def _publish_ready(self) -> None:
        rows, self._ready, self._published_at = self._ready, [], asyncio.get_running_loop().time()
        if rows:
            self._in_flight += len(rows)
            self._publish_in_background(rows).add_done_callback(partial(self._note_answers, rows))

    def _note_answers(self, rows: Sequence[Claimed], publish: Publishing) -> None:
        self._in_flight -= len(rows)
        outcomes = _outcomes(publish, rows)
        if Outcome.NOT_SENT in outcomes:
            # Lost, or it lets publishers wait: for a while the rounds find out whether it takes messages again.
            self._looks_until = asyncio.get_running_loop().time() + POLL_SECONDS
        self._note(rows, _steps(rows, outcomes))

    def _note(self, rows: Sequence[Claimed], steps: Sequence[Step]) -> None:
        self._answered += zip(rows, steps, strict=True)
        self._has_answers.set()

    async def _settle_answers(self) -> NoReturn:
        """Settle the rows that were claimed ahead, until cancelled; then also the rows that are being published."""
        try:
            while True:
                await self._has_answers.wait()
                self._has_answers.clear()
                await self._settle_answered()
                await asyncio.sleep(SETTLE_SECONDS)
        finally:
            await self._end_ahead()

    async def _end_ahead(self) -> None:
        self._publish_ready()
        await self._end_publishes()
        await self._settle_answered()

    async def _end_publishes(self) -> None:
        if self._publishes:
            _, unanswered = await asyncio.wait(self._publishes, timeout=STOP_SECONDS)
            for publish in unanswered:
                publish.cancel()
            if unanswered:
                await asyncio.wait(unanswered)

    async def _settle_answered(self) -> None:
        answered = self._answered[:]
        if not answered:
            return
        try:
            await self._settle(answered, self._own_claim)
        except DatabaseUnavailable as error:
            self._note_database(error)
            self._has_answers.set()  # another try follows
        else:
            del self._answered[: len(answered)]

    def _publish_in_background(self, rows: Sequence[Claimed]) -> Publishing:
        publish = asyncio.create_task(self._publish(rows))
        self._publishes.add(publish)
        publish.add_done_callback(self._publishes.discard)
        return publish

    async def _publish(self, rows: Sequence[Claimed]) -> Sequence[Outcome | Refusal]:
        """Publish the rows as one write; return their outcomes in the same order."""
        for row in rows:
            self._journey.reach(Point.CLAIMED, row.message_id)
        made = [self._routed(row) for row in rows]
        outcomes = iter(
            await self._publisher.publish_together([each for each in made if isinstance(each, Routed)])
        )
        done = [next(outcomes) if isinstance(each, Routed) else each for each in made]
        for row, outcome in zip(rows, done, strict=True):
            if outcome is Outcome.CONFIRMED:
                self._journey.reach(Point.CONFIRMED, row.message_id)
        return done

    def _routed(self, row: Claimed) -> Routed | Refusal:
        writer = self._writers.get(row.contract)
        if writer is None:
            return Refusal(
                ErrorCode.UNSUPPORTED_VERSION, detail=f"this release does not know {row.contract!r}"
            )
        message = writer.message(
            row.body,
            message_id=row.message_id,
            made_at_seconds=row.made_at_seconds,
            traceparent=row.traceparent,
        )
        if isinstance(message, Refusal):
            return message
        return Routed(message, writer.exchange, writer.routing_key, writer.mandatory)

    async def _wait_for_work(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._nudged.wait()

    def _report(self, done: Sequence[tuple[Claimed, Step]]) -> None:
        for row, step in done:
            if isinstance(step, Dead):
                log.error(
                    "a message breaks its own contract and is never published",
                    message_id=row.message_id,
                    reason=step.reason,
                )
        relayed = [row.message_id for row, step in done if isinstance(step, Published)]
        if relayed:
            log.info("messages are relayed", message_ids=relayed)
        reasons = {step.reason for _, step in done if isinstance(step, PutBack) and step.reason}
        if reasons:
            self._report_trouble(", ".join(sorted(reasons)))
        elif self._is_reported and relayed:
            log.warning("messages can be published again")
            self._is_reported = False

    def _report_trouble(self, reason: str) -> None:
        if not self._is_reported:
            log.warning("messages wait in the outbox, trying again", reason=reason)
            self._is_reported = True


def _steps(rows: Sequence[Claimed], outcomes: Sequence[Outcome | Refusal]) -> list[Step]:
    return [
        step_after(outcome, attempts=row.attempts, uniform=random.uniform)
        for row, outcome in zip(rows, outcomes, strict=True)
    ]


def _outcomes(publish: Publishing, rows: Sequence[Claimed]) -> Sequence[Outcome | Refusal]:
    # The end of the relay cancels a publish without an answer, so its outcome is unknown.
    return [Outcome.UNKNOWN] * len(rows) if publish.cancelled() else publish.result()
