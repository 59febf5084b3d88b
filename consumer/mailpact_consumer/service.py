"""Connects the parts of the consumer and runs the consumer."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import structlog
from aiormq.abc import AbstractConnection
from prometheus_client.registry import Collector

from mailpact.amqp.publisher import Publisher
from mailpact.amqp.subscriber import Delivery, Subscriber
from mailpact.amqp.topology import Declare, declare_all
from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Catalogue
from mailpact.contracts.errors import Refusal
from mailpact.database.engine import open_database
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.telemetry import Journey, Point
from mailpact_consumer.attempt import Attempt, RefusedMessage
from mailpact_consumer.bridge import Bridge
from mailpact_consumer.deliver import MailServer
from mailpact_consumer.email_2 import Policy
from mailpact_consumer.events import Events
from mailpact_consumer.housekeeping import Housekeeping
from mailpact_consumer.in_flight import InFlight
from mailpact_consumer.inbox import Inbox
from mailpact_consumer.intake import Intake, IsOurs
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.message import Reader, identify, read, readers
from mailpact_consumer.metrics import Metrics
from mailpact_consumer.monitor import Monitor
from mailpact_consumer.queues import WORK_QUEUE, with_schedule
from mailpact_consumer.rounds import Rounds
from mailpact_consumer.server_watch import ServerWatch
from mailpact_consumer.services import Services, cut
from mailpact_consumer.settings import ConsumerSettings
from mailpact_consumer.settle import Settlement
from mailpact_consumer.slots import LETTER_SLOTS, Slot, Slots
from mailpact_consumer.smtp_session import Server, tls_context
from mailpact_consumer.template_folder import load_templates

STOP_SECONDS = 15  # for mails that are being sent; the process has 20 s in all
RECORD_SECONDS = 3  # for recording mails without an answer
LETTER_CONFIRM_SECONDS = 600.0  # longer than most alarms; RabbitMQ allows a message to be held for 30 min
OPEN_SECONDS = 3  # for the publishers of letters and retry copies, at the start of each session

log = structlog.get_logger()


class Consumer:
    """Handles each delivery."""

    def __init__(self, services: Services, slots: Slots, served: dict[str, Reader], metrics: Metrics) -> None:
        self._metrics = metrics
        self._services = services
        self._served = served
        self._in_flight = InFlight()
        self.stopping = asyncio.Event()
        self.consuming = asyncio.Event()
        """Set while the broker gives this consumer messages; so its queues are there."""
        self._rounds = Rounds(services, slots, self.stopping)

    async def handle(self, delivery: Delivery, is_ours: IsOurs, slot: Slot) -> None:
        """Settle one delivery, or leave it unsettled if the consumer stops or the delivery is no longer ours."""
        services = self._services
        assigned_id = "" if delivery.message.message_id else services.new_id()
        identity = identify(delivery.message, assigned_id=assigned_id)
        services.journey.reach(Point.RECEIVED, identity.key)
        request = read(delivery.message, self._served, identity, now=services.utc_now())
        work: Attempt | RefusedMessage
        if isinstance(request, Refusal):
            work = RefusedMessage(services, delivery.message, request, identity, contract=None, slot=slot)
        else:
            services.journey.reach(Point.VALIDATED, identity.key)
            if not identity.is_known:
                self._metrics.without_id.inc()
                log.info(
                    "message without an id: its duplicates cannot be recognised", message_id=identity.key
                )
            work = Attempt(services, delivery, request, slot)
        async with self._in_flight.hold(identity.key):
            await self._rounds.settle(delivery, work, slot, is_ours, key=identity.key)


@dataclass(frozen=True, slots=True)
class _Publishers:
    """One connection for each kind of message, so that a blocked kind does not delay another kind."""

    letters: Publisher
    retries: Publisher
    events: Publisher

    @classmethod
    def of(cls, settings: ConsumerSettings, declare: Declare) -> "_Publishers":
        url = settings.amqp_url
        return cls(
            letters=Publisher(
                url, "consumer letters", declare=declare, confirm_seconds=LETTER_CONFIRM_SECONDS
            ),
            retries=Publisher(url, "consumer retries", declare=declare),
            events=Publisher(url, "consumer events", declare=declare),
        )

    @property
    def by_role(self) -> dict[str, Publisher]:
        return {"letters": self.letters, "retries": self.retries, "events": self.events}

    async def wait_until_open(self) -> None:
        """Wait at most 3 seconds for the publishers of letters and retry copies, so that no message must be held.

        A message that is valid can be sent without these publishers, so none of them is waited for any longer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await self.letters.wait_until_open()
                await self.retries.wait_until_open()


@asynccontextmanager
async def running(
    settings: ConsumerSettings,
    *,
    journey: Journey,
    health: socket.socket | None = None,
    collectors: Iterable[Collector] = (),
) -> AsyncIterator[Consumer]:
    """Run one consumer until the context ends; `health` listens for `/livez`, `/readyz` and `/metrics`.

    `collectors` add the caller's own numbers to `/metrics`.

    The broker and the mail server may be down, now or later. Raises DatabaseUnavailable, SchemaUnknown or
    OlderConsumersAlive if the inbox cannot be used, and TopologyMismatch (in an exception group) if a queue of ours
    differs from the contract. Raises TemplateFolderError if the operator's templates cannot be used.
    """
    async with (
        open_database(settings.inbox_url, joins_statements=True) as database,
        _wired(settings, database, journey, health, collectors) as consumer,
    ):
        yield consumer


@asynccontextmanager
async def _wired(
    settings: ConsumerSettings,
    database: Database,
    journey: Journey,
    health: socket.socket | None,
    collectors: Iterable[Collector],
) -> AsyncIterator[Consumer]:
    published = catalogue.load()
    topology = with_schedule(published.topology.declared_by("consumer"), settings.retry_schedule)
    owner = str(uuid4())
    consuming, metrics = _Consuming(), Metrics(utc_now=_utc_now)
    for collector in collectors:
        metrics.registry.register(collector)
    bridge = Bridge(settings.amqp_url, database, owner, new_id=lambda: str(uuid4()))
    declare = bridge.remembering(partial(declare_all, topology=topology))
    publishers = _Publishers.of(settings, declare)
    services, events = _services(settings, database, owner, journey, publishers, consuming, metrics)
    slots = Slots(settings.prefetch)
    consumer = Consumer(services, slots, readers(published, _policy(settings, published)), metrics)
    await services.inbox.prepare()
    await services.liveness.announce()
    try:
        async with asyncio.TaskGroup() as tasks:
            intake = Intake(tasks, slots, consumer.handle)
            subscriber = consuming.subscriber = _subscriber(settings, intake, declare, publishers)
            consumer.consuming = subscriber.started
            monitor = Monitor(metrics, database, services.watch, publishers.by_role, subscriber, bridge)
            jobs = (
                monitor.run(),
                services.liveness.keep(),
                subscriber.run(),
                services.watch.run(),
                events.sweep(),
                Housekeeping(database, inbox_days=settings.inbox_days).run(),
                bridge.run(publishers.retries, declare),
                *(publisher.run() for publisher in publishers.by_role.values()),
            )
            background = [tasks.create_task(job) for job in jobs]
            try:
                async with _health(health, monitor, metrics):
                    yield consumer
            finally:
                consumer.stopping.set()
                await subscriber.stop_receiving()
                await _finish(intake, services)
                await events.finish(within_seconds=1)
                for task in background:
                    task.cancel()
    finally:
        await services.mail_server.close()
        await services.inbox.finish()
        with suppress(DatabaseUnavailable):  # then the row counts as dead after ten seconds, as after a crash
            await services.liveness.withdraw()
        log.info("the consumer has stopped")


@asynccontextmanager
async def _health(listener: socket.socket | None, monitor: Monitor, metrics: Metrics) -> AsyncIterator[None]:
    if listener is None:
        yield
        return
    # Imported here: a consumer without --health needs no web server.
    from mailpact.health import health_app
    from mailpact.web.serving import serving

    async with serving(health_app(monitor.check, metrics.registry), listener):
        yield


def _utc_now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _new_id() -> str:
    """Return a random UUID (RFC 9562 5.4); the library's class takes four times as long."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _policy(settings: ConsumerSettings, published: Catalogue) -> Policy:
    return Policy(
        mail_from=settings.mail_from,
        identities=settings.identities.and_of(settings.mail_from),
        templates=load_templates(published, settings.templates),
    )


class _Consuming:
    """Pauses and resumes the subscriber, which is made last."""

    subscriber: Subscriber

    def pause(self) -> None:
        self.subscriber.pause()

    def resume(self) -> None:
        self.subscriber.resume()


def _services(
    settings: ConsumerSettings,
    database: Database,
    owner: str,
    journey: Journey,
    publishers: _Publishers,
    consuming: _Consuming,
    metrics: Metrics,
) -> tuple[Services, Events]:
    inbox = Inbox(database, owner, connections=settings.smtp_connections)
    events = Events(database, inbox, publishers.events, metrics)
    mail_server = _mail_server(settings)
    liveness = Liveness(
        database, owner, monotonic=time.monotonic, name=f"{socket.gethostname()} {os.getpid()}"
    )
    services = Services(
        inbox=inbox,
        liveness=liveness,
        mail_server=mail_server,
        watch=ServerWatch(
            partial(mail_server.probe, settings.sender), pause=consuming.pause, resume=consuming.resume
        ),
        settlement=Settlement(
            inbox,
            events,
            letters=publishers.letters,
            retries=publishers.retries,
            journey=journey,
            metrics=metrics,
        ),
        journey=journey,
        settings=settings,
        new_id=_new_id,
        utc_now=liveness.clock.utc_now,
        in_data=set(),
    )
    return services, events


async def _finish(intake: Intake, services: Services) -> None:
    """Finish the mails that are being sent. Mails without an answer in time are recorded as unanswered."""
    if await intake.finish(within_seconds=STOP_SECONDS):
        return
    await cut(services.in_data)
    await intake.finish(within_seconds=RECORD_SECONDS)
    intake.cancel()


def _mail_server(settings: ConsumerSettings) -> MailServer:
    return MailServer(
        Server(
            settings.smtp_url, settings.tls, tls_context(settings.smtp_ca_file), name=settings.mail_domain
        ),
        connections=settings.smtp_connections,
        rate=settings.smtp_rate,
        monotonic=time.monotonic,
    )


def _subscriber(
    settings: ConsumerSettings, intake: Intake, declare: Declare, publishers: _Publishers
) -> Subscriber:
    async def declare_for_session(connection: AbstractConnection) -> None:
        log.info("connected to the broker", role="consumer")
        await declare(connection)
        await publishers.wait_until_open()
        intake.begin_session()

    return Subscriber(
        settings.amqp_url,
        "consumer",
        queue=WORK_QUEUE,
        # Slow tries and waiting letters have released their slots, but their messages are still unsettled.
        prefetch=settings.prefetch + 2 * settings.smtp_connections + LETTER_SLOTS,
        declare=declare_for_session,
        receive=intake.receive,
    )
