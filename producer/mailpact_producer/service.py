"""Wires the CMS together and runs it: a site, an outbox, a relay, a publisher."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import aiohttp_jinja2
import jinja2
import structlog
from aiohttp import web

from mailpact.amqp.errors import TopologyMismatch
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.topology import declare_ingress
from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Contract
from mailpact.database.engine import open_database
from mailpact.database.migrate import migrate
from mailpact.database.transactions import Database
from mailpact.telemetry import Journey
from mailpact.web.assets import add_asset_routes
from mailpact.web.security import add_security_headers
from mailpact_producer.passwords import Hashing
from mailpact_producer.relay import Relay
from mailpact_producer.settings import ProducerSettings
from mailpact_producer.store.schema import HEAD, VERSION_TABLE
from mailpact_producer.store.users import the_site_key
from mailpact_producer.tokens import KEY_BYTES
from mailpact_producer.web.cookies import Cookies
from mailpact_producer.web.pages import Pages, plain_words
from mailpact_producer.web.register import Register

CONTRACT = "email/1"
MIGRATIONS = Path(__file__).parent / "migrations"
BODY_BYTES = 64 * 1024
STOP_SECONDS = 1.0
SETTLE_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Producer:
    """A running CMS: the site's public address."""

    base_url: str


def _new_id() -> str:
    return str(uuid4())


@asynccontextmanager
async def running(
    settings: ProducerSettings, listener: socket.socket, *, journey: Journey
) -> AsyncIterator[Producer]:
    """Run the site until the caller leaves; it takes the listening socket over.

    The broker may be away, now or later. Raises DatabaseUnavailable or SchemaUnknown when the database cannot be used.
    """
    contract = catalogue.load().contract(CONTRACT)
    database, hashing = open_database(settings.database_url), Hashing()
    try:
        await migrate(database, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)
        fresh = secrets.token_bytes(KEY_BYTES)
        key = await database.transact(lambda connection: the_site_key(connection, fresh))
        async with _relaying(settings, database, contract, journey) as relay:
            app = _app(settings, database, hashing, contract, relay, key=key, journey=journey)
            async with _serving(app, listener):
                yield Producer(settings.base_url)
    finally:
        await hashing.close()
        await database.close()


@asynccontextmanager
async def _relaying(
    settings: ProducerSettings, database: Database, contract: Contract, journey: Journey
) -> AsyncIterator[Relay]:
    declare = partial(declare_ingress, topology=catalogue.load().topology)
    publisher = Publisher(settings.amqp_url, "producer", declare=declare)
    relay = Relay(database, publisher, contract, journey=journey, new_id=_new_id)
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(_publishing(publisher))
        relaying = tasks.create_task(relay.run())
        try:
            yield relay
        finally:
            relaying.cancel()
            await asyncio.wait({relaying}, timeout=SETTLE_SECONDS)
            publishing.cancel()


async def _publishing(publisher: Publisher) -> None:
    try:
        await publisher.run()
    except TopologyMismatch as error:
        # Somebody has to mend that; the site stays up meanwhile, and its messages wait in the outbox.
        log.warning("mail is not ready: the exchange is not as the contract says", reason=str(error))


def _app(
    settings: ProducerSettings,
    database: Database,
    hashing: Hashing,
    contract: Contract,
    relay: Relay,
    *,
    key: bytes,
    journey: Journey,
) -> web.Application:
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[plain_words])
    add_security_headers(app)
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("mailpact_producer"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["assets"] = add_asset_routes(app)
    cookies = Cookies(is_https=settings.is_https)
    Pages(database, cookies).add_routes(app)
    Register(
        database,
        hashing,
        cookies,
        contract,
        key=key,
        journey=journey,
        new_id=_new_id,
        committed=relay.nudge,
    ).add_routes(app)
    return app


@asynccontextmanager
async def _serving(app: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()
