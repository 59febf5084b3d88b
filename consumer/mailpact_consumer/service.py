"""Wires the consumer together and runs it: deliveries in, mails out, nothing forgotten between."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from uuid import uuid4

import structlog
from aiormq.abc import AbstractConnection

from mailpact.amqp.backoff import backoff_seconds
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.subscriber import Declare, Delivery, Subscriber
from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.contracts.errors import Refusal
from mailpact.database.engine import open_database
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.telemetry import Journey, Point
from mailpact_consumer.attempt import Attempt, Doors
from mailpact_consumer.deliver import MailServer
from mailpact_consumer.inbox import Inbox
from mailpact_consumer.intake import InFlight, Intake
from mailpact_consumer.letter import letter_about_refusal
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.message import Reader, message_id_of, read, readers
from mailpact_consumer.settings import ConsumerSettings
from mailpact_consumer.settle import Held, Settlement, Source
from mailpact_consumer.smtp_session import Server, tls_context

WORK_QUEUE = "email.work"
STOP_SECONDS = 15  # for mail in flight; the whole process has 20, some of them for saying goodbye

log = structlog.get_logger()


class Consumer:
    """What becomes of each delivery."""

    def __init__(self, doors: Doors, served: dict[str, Reader]) -> None:
        self._doors = doors
        self._served = served
        self._in_flight = InFlight()
        self._in_trouble: set[Source] = set()
        self.stopping = asyncio.Event()
        self.consuming = asyncio.Event()
        """Set while the broker gives this consumer messages; so its queues are there."""

    async def handle(self, delivery: Delivery, is_ours: Callable[[], bool]) -> None:
        """Settle one delivery, or leave it unsettled when stopping or when it is not ours any more."""
        doors = self._doors
        assigned_id = doors.new_id()
        request = read(delivery.message, self._served, assigned_id=assigned_id)
        message_id = message_id_of(delivery.message) or assigned_id
        doors.journey.reach(Point.RECEIVED, message_id)
        attempt: Callable[[], Awaitable[Held | None]]
        if isinstance(request, Refusal):
            attempt = partial(self._refuse, delivery, request, message_id)
        else:
            doors.journey.reach(Point.VALIDATED, message_id)
            if not request.has_own_id:
                log.info("message without an id: its duplicates cannot be told", message_id=message_id)
            attempt = Attempt(doors, delivery, request).try_once
        async with self._in_flight.hold(message_id):
            await self._until_settled(attempt, is_ours)

    async def _refuse(self, delivery: Delivery, refusal: Refusal, message_id: str) -> Held | None:
        letter = letter_about_refusal(delivery.message, refusal, message_id=message_id)
        return await self._doors.settlement.refused(delivery, letter, code=refusal.code)

    async def _until_settled(
        self, attempt: Callable[[], Awaitable[Held | None]], is_ours: Callable[[], bool]
    ) -> None:
        failures = 0
        held_by: set[Source] = set()
        while is_ours() and not self.stopping.is_set():
            try:
                held = await attempt()
            except DatabaseUnavailable as error:
                held = Held(Source.INBOX, str(error))
            if held is None:
                self._report_recovery(held_by)
                return
            failures += 1
            held_by.add(held.source)
            self._report_trouble(held)
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_seconds(failures, random.uniform)):
                    await self.stopping.wait()
        self._in_trouble -= held_by  # who gets the message next reports anew

    def _report_trouble(self, held: Held) -> None:
        if held.source not in self._in_trouble and held.source is not Source.OTHER_CONSUMER:
            log.warning("mail waits, trying again for ever", trouble_with=held.source, reason=held.reason)
            self._in_trouble.add(held.source)

    def _report_recovery(self, sources: set[Source]) -> None:
        for source in sources & self._in_trouble:
            log.warning("mail goes out again", trouble_was_with=source)
            self._in_trouble.discard(source)


@asynccontextmanager
async def running(settings: ConsumerSettings, *, journey: Journey) -> AsyncIterator[Consumer]:
    """Run one consumer until the caller leaves.

    The broker and the mail server may be away, now or later. Raises DatabaseUnavailable or SchemaUnknown when the
    inbox cannot be used, and TopologyMismatch (in an exception group) when a queue of ours is not as the contract says.
    """
    async with (
        open_database(settings.inbox_url) as database,
        _wired(settings, database, journey) as consumer,
    ):
        yield consumer


@asynccontextmanager
async def _wired(settings: ConsumerSettings, database: Database, journey: Journey) -> AsyncIterator[Consumer]:
    published = catalogue.load()
    declare = partial(declare_all, topology=published.topology.declared_by("consumer"))
    letters = Publisher(settings.amqp_url, "consumer letters", declare=declare)
    doors = _doors(settings, database, journey, letters)
    consumer = Consumer(doors, readers(published))
    await doors.inbox.prepare()
    await doors.liveness.announce()
    try:
        async with asyncio.TaskGroup() as tasks:
            intake = Intake(tasks, consumer.handle)
            subscriber = _subscriber(settings, intake, declare)
            consumer.consuming = subscriber.started
            jobs = (doors.liveness.keep(), letters.run(), subscriber.run())
            background = [tasks.create_task(job) for job in jobs]
            try:
                yield consumer
            finally:
                consumer.stopping.set()
                await subscriber.stop_receiving()
                await intake.finish(within_seconds=STOP_SECONDS)
                for task in background:
                    task.cancel()
    finally:
        await doors.mail_server.close()
        await doors.inbox.finish()
        with suppress(DatabaseUnavailable):  # then the row looks dead after ten seconds, as after a crash
            await doors.liveness.withdraw()


def _doors(settings: ConsumerSettings, database: Database, journey: Journey, letters: Publisher) -> Doors:
    owner = str(uuid4())
    inbox = Inbox(database, owner)
    mail_server = MailServer(
        Server(
            settings.smtp_url, settings.tls, tls_context(settings.smtp_ca_file), name=settings.mail_domain
        ),
        connections=settings.smtp_connections,
        rate=settings.smtp_rate,
        monotonic=time.monotonic,
    )
    return Doors(
        inbox=inbox,
        liveness=Liveness(database, owner, monotonic=time.monotonic),
        mail_server=mail_server,
        settlement=Settlement(inbox, letters, journey),
        journey=journey,
        settings=settings,
        new_id=lambda: str(uuid4()),
    )


def _subscriber(settings: ConsumerSettings, intake: Intake, declare: Declare) -> Subscriber:
    async def declare_for_session(connection: AbstractConnection) -> None:
        await declare(connection)
        intake.begin_session()

    return Subscriber(
        settings.amqp_url,
        "consumer",
        queue=WORK_QUEUE,
        prefetch=settings.prefetch,
        declare=declare_for_session,
        receive=intake.receive,
    )
