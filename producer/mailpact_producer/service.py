"""Connects the parts of the site: a web server, an outbox, and the relay between the outbox and the broker."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn
from uuid import uuid4

from aiormq.abc import AbstractConnection
from prometheus_client.registry import Collector

from mailpact.amqp.errors import BrokerLost, TopologyMismatch, talking
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.database.engine import open_database
from mailpact.database.transactions import Database
from mailpact.settings import SettingsError
from mailpact.telemetry import Journey
from mailpact.web.serving import serving
from mailpact_producer.canary_keeper import CanaryKeeper
from mailpact_producer.events import CONTRACT, EARLIER_CONTRACT, Writer, mail_body
from mailpact_producer.health import Health
from mailpact_producer.housekeeping import keep_house
from mailpact_producer.invalidation import CONTRACT as CACHE_CONTRACT
from mailpact_producer.invalidation import Changes, Listener
from mailpact_producer.limits import MailLimits
from mailpact_producer.mail_flow import MailFlow
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.mail_status import StatusListener
from mailpact_producer.mailer import Mailer
from mailpact_producer.mails import MailTexts
from mailpact_producer.passwords import PasswordHashing, usable_cpus
from mailpact_producer.relay import Relay
from mailpact_producer.settings import ProducerSettings
from mailpact_producer.site import make_site
from mailpact_producer.store import pages, schema
from mailpact_producer.web.connections import WatchedRunner


@dataclass(frozen=True, slots=True)
class Producer:
    """A running site; `url` is the address of its socket, without a slash at its end."""

    url: str


@asynccontextmanager
async def running(
    settings: ProducerSettings,
    listener: socket.socket,
    *,
    journey: Journey,
    health: socket.socket | None = None,
    collectors: Iterable[Collector] = (),
) -> AsyncIterator[Producer]:
    """Serve the site on a bound socket, and relay its messages, until the context ends; `health` is for operators.

    `collectors` add the caller's own numbers to `/metrics`.

    The broker may be down, now or later: messages wait in the outbox. Raises DatabaseUnavailable or SchemaUnknown if
    the database cannot be used, and SettingsError for a base URL that the contract of the mails refuses.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(listener)
        database = await stack.enter_async_context(open_database(settings.database_url))
        passwords = PasswordHashing(usable_cpus())
        stack.push_async_callback(passwords.close)
        await schema.prepare(database)
        writers = {
            name: Writer(catalogue.load(), name) for name in (CONTRACT, EARLIER_CONTRACT, CACHE_CONTRACT)
        }
        writer = writers[CONTRACT]
        texts = _checked(MailTexts(settings.base_url, settings.site_name), writer, settings.base_url)
        publisher = Publisher(settings.amqp_url, "producer", declare=_declare)
        relay = Relay(database, publisher, writers, journey, new_token=lambda: str(uuid4()))
        await stack.enter_async_context(_relaying(publisher, relay))
        origin = str(uuid4())
        cache_listener = Listener(settings.amqp_url, catalogue.load(), origin=origin, now=time.monotonic)
        await stack.enter_async_context(_in_background(cache_listener.run()))
        keeper = _keeper(settings, writer, database, relay)
        wake = keeper.wake if keeper is not None else lambda: None
        statuses = StatusListener(
            settings.amqp_url, catalogue.load(), database, now=time.monotonic, wake_canary=wake
        )
        await stack.enter_async_context(_in_background(statuses.run()))
        cache_writer = writers[CACHE_CONTRACT]
        changes = Changes(
            database, cache_listener, cache_writer, origin=origin, nudge=relay.nudge, now_seconds=time.time
        )
        key = await database.transact(pages.signing_key)
        mailer = _mailer(writer, texts, journey, key, relay)
        flow = MailFlow(database, keeper)
        limits = MailLimits(settings.mail_limit_mailbox, settings.mail_limit_network)
        gate = MailGate(database, limits, key, now=time.monotonic)
        app = await make_site(
            settings,
            database,
            passwords,
            mailer,
            flow,
            gate,
            key,
            changes,
            cache_listener.cache,
            writer.is_mailable,
        )
        await stack.enter_async_context(_in_background(keep_house(database)))
        if keeper is not None:
            await stack.enter_async_context(_in_background(keeper.run()))
        if health is not None:
            site_health = Health(flow, gate, statuses, lambda: publisher.is_open, collectors)
            await stack.enter_async_context(serving(site_health.application(), health))
        await stack.enter_async_context(serving(app, listener, runner=WatchedRunner))
        yield Producer(_url(listener))


def _mailer(writer: Writer, texts: MailTexts, journey: Journey, key: bytes, relay: Relay) -> Mailer:
    return Mailer(
        writer,
        texts,
        journey,
        key,
        claim_ahead=relay.claim_ahead,
        hand_over=relay.committed,
        now_seconds=time.time,
    )


def _keeper(
    settings: ProducerSettings, writer: Writer, database: Database, relay: Relay
) -> CanaryKeeper | None:
    if settings.canary is None:
        return None
    return CanaryKeeper(
        settings.canary, settings.site_name, writer, database, nudge=relay.nudge, now_seconds=time.time
    )


def _checked(texts: MailTexts, writer: Writer, base_url: str) -> MailTexts:
    """Return the texts; raise SettingsError if the contract refuses links with the base URL."""
    mail = texts.account_deleted("reader@example.org", "Reader")
    if writer.check(mail_body(mail)) is not None:
        raise SettingsError(
            f"{base_url!r} is not allowed in a mail; use a host name or an IPv4 address, in ASCII, for the base URL"
        )
    return texts


@asynccontextmanager
async def _in_background(work: Coroutine[None, None, NoReturn]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def _relaying(publisher: Publisher, relay: Relay) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(publisher.run())
        relaying = tasks.create_task(relay.run())
        try:
            yield
        finally:
            relaying.cancel()
            await asyncio.wait(
                {relaying}
            )  # the publisher is still needed for messages that are being published
            publishing.cancel()


async def _declare(connection: AbstractConnection) -> None:
    """Declare what the site publishes to. The site works without mail, so after an error it tries again."""
    try:
        with talking():
            await declare_all(connection, catalogue.load().topology.declared_by("producer"))
    except TopologyMismatch as error:
        raise BrokerLost(f"the exchange must be corrected: {error}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
