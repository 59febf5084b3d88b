"""Wires the CMS together and runs it: a web site, an outbox, and the relay between the outbox and the broker."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from uuid import uuid4

import structlog
from aiohttp import web

from mailpact.amqp.errors import TopologyMismatch
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.topology import declare_ingress
from mailpact.contracts import catalogue
from mailpact.database.engine import open_database
from mailpact.database.transactions import Database
from mailpact.telemetry import Journey
from mailpact.web.serving import serving
from mailpact_producer.events import CONTRACT, Writer
from mailpact_producer.limits import MailLimits
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.passwords import PasswordHashing, usable_cpus
from mailpact_producer.registration import Registrar
from mailpact_producer.relay import Relay
from mailpact_producer.settings import ProducerSettings
from mailpact_producer.store import pages, schema
from mailpact_producer.web.application import make_application
from mailpact_producer.web.connections import WatchedRunner
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.csrf import Csrf
from mailpact_producer.web.forms import Forms
from mailpact_producer.web.network import Networks
from mailpact_producer.web.notices import Notices
from mailpact_producer.web.pages import Pages
from mailpact_producer.web.register import RegistrationForm

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Producer:
    """A running CMS; `url` is where its socket listens, without a slash at its end."""

    url: str


@asynccontextmanager
async def running(
    settings: ProducerSettings, listener: socket.socket, *, journey: Journey
) -> AsyncIterator[Producer]:
    """Serve the site on a bound socket, and relay its messages, until the caller leaves.

    The broker may be away, now or later: messages wait in the outbox. Raises DatabaseUnavailable or SchemaUnknown when
    the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(listener)
        database = await stack.enter_async_context(open_database(settings.database_url))
        passwords = PasswordHashing(usable_cpus())
        stack.push_async_callback(passwords.close)
        await schema.prepare(database)
        writer = Writer(catalogue.load().contract(CONTRACT))
        relay = await stack.enter_async_context(_relaying(settings, database, writer, journey))
        registrar = Registrar(
            database,
            passwords,
            writer,
            journey,
            nudge=relay.nudge,
            new_id=lambda: str(uuid4()),
            now_seconds=time.time,
        )
        app = await _site(settings, database, registrar, writer)
        await stack.enter_async_context(serving(app, listener, runner=WatchedRunner))
        yield Producer(_url(listener))


@asynccontextmanager
async def _relaying(
    settings: ProducerSettings, database: Database, writer: Writer, journey: Journey
) -> AsyncIterator[Relay]:
    declare = partial(declare_ingress, topology=catalogue.load().topology)
    publisher = Publisher(settings.amqp_url, "producer", declare=declare)
    relay = Relay(database, publisher, {CONTRACT: writer}, journey, new_token=lambda: str(uuid4()))
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(_publishing(publisher))
        relaying = tasks.create_task(relay.run())
        try:
            yield relay
        finally:
            relaying.cancel()
            await asyncio.wait({relaying})  # it still needs the publisher for what is in flight
            publishing.cancel()


async def _publishing(publisher: Publisher) -> None:
    try:
        await publisher.run()
    except TopologyMismatch as error:
        log.warning(  # the site is of use without mail
            "no message can be sent until the broker's exchange is mended and this program started again",
            reason=str(error),
        )


async def _site(
    settings: ProducerSettings, database: Database, registrar: Registrar, writer: Writer
) -> web.Application:
    key = await database.transact(pages.signing_key)
    cookies = Cookies(is_https=settings.is_https)
    notices = Notices(key, cookies)
    site_pages = Pages(database)
    limits = MailLimits(settings.mail_limit_mailbox, settings.mail_limit_network)
    form = RegistrationForm(
        registrar,
        MailGate(database, limits, key),
        forms=Forms(Csrf(key, cookies, settings.base_url)),
        notices=notices,
        networks=Networks(settings.trusted_proxies),
        site_pages=site_pages,
        is_mailable=writer.is_mailable,
        common_passwords=common_passwords(),
    )
    return make_application(site_pages, form, notices, is_https=settings.is_https)


def common_passwords() -> frozenset[str]:
    """Return the 10,000 passwords that attackers try first, in lower case."""
    text = (resources.files("mailpact_producer") / "common_passwords.txt").read_text("ascii")
    return frozenset(text.split("\n"))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
