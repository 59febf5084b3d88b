"""Fixtures: the site in this process, with the test's own database and broker, and a browser for the site."""

import asyncio
import json
import re
import secrets
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
)
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import aiormq
import pytest
from sqlalchemy import NullPool, create_engine, inspect, text

from mailpact.amqp.topology import declare_all
from mailpact.contracts import catalogue
from mailpact.database.engine import open_database
from mailpact.settings import AmqpUrl, DatabaseUrl
from mailpact.telemetry import Journey
from mailpact_devbroker.service import running as devbroker_running
from mailpact_producer.service import running as producer_running
from mailpact_producer.settings import ProducerSettings
from mailpact_producer.store import schema
from tests.servers.database import Databases
from tests.servers.rabbitmq import Rabbitmq

PATIENCE_SECONDS = 20.0
PASSWORD = "correct horse battery"
ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    text: str


@dataclass
class Site:
    """A running site and a browser on it."""

    url: str
    session: aiohttp.ClientSession
    journey: Journey = field(default_factory=Journey)

    async def get(self, path: str) -> Answer:
        async with self.session.get(self.url + path, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.text())

    async def post(self, path: str, **options: Any) -> Answer:
        async with self.session.post(self.url + path, allow_redirects=False, **options) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.text())

    async def hidden_fields(self, path: str = "/register") -> dict[str, str]:
        return dict(HIDDEN.findall((await self.get(path)).text))

    async def register(self, email: str, *, page: str | None = None, **fields: str) -> Answer:
        """Fill in the form for a registration and post it, as a browser would."""
        hidden = await self.hidden_fields("/register" + (f"?page={page}" if page else ""))
        return await self.post(
            "/register", data=hidden | {"name": "Ada", "email": email, "password": PASSWORD} | fields
        )

    async def submit(self, path: str, action: str, **fields: str) -> Answer:
        """Open a page, fill in the form with this action and post it, as a browser would."""
        page = (await self.get(path)).text
        form = re.search(rf'<form[^>]* action="({re.escape(action)}[^"]*)".*?</form>', page, re.DOTALL)
        assert form, page
        return await self.post(unescape(form[1]), data=dict(HIDDEN.findall(form[0])) | fields)

    async def log_in(self, email: str, password: str = PASSWORD) -> Answer:
        return await self.submit("/login", "/login", email=email, password=password)

    async def confirmed(self, email: str, data: Any) -> None:
        """Register, open the mailed link and press its button."""
        await self.register(email)
        answer = await self.submit(data.mails()[-1].link, "/confirm")
        assert answer.status == 303


@dataclass(frozen=True)
class SentMail:
    """A mail that waits in the outbox, with the members of its message that the site sets."""

    to: str
    template: str
    data: dict[str, Any]
    expires_at: str | None
    message_id: str
    traceparent: str | None

    @property
    def link(self) -> str:
        """Return path and query of the link that carries a token."""
        (link,) = (value for value in self.data.values() if "?token=" in str(value))
        return re.sub(r"^https?://[^/]+", "", str(link))


def sent_mail(body: dict[str, Any], message_id: str, traceparent: str | None) -> SentMail:
    """Return the mail of a message."""
    ((to,), template) = body["to"], body["template"]
    return SentMail(
        to["address"], template["name"], template["data"], body.get("expires_at"), message_id, traceparent
    )


class Data:
    """The site's database, read over a connection of its own."""

    def __init__(self, url: DatabaseUrl) -> None:
        self.url = url
        self._engine = create_engine(url.url, poolclass=NullPool)

    def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction; return the rows that it finds."""
        with self._engine.begin() as connection:
            result = connection.execute(text(query), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def mails(self) -> list[SentMail]:
        """Return the readers' mails that wait in the outbox, in their order."""
        rows = self.rows(
            "SELECT body, message_id, traceparent FROM outbox WHERE contract = 'email/2' ORDER BY id"
        )
        messages = [(json.loads(body), *rest) for body, *rest in rows]
        return [sent_mail(body, *rest) for body, *rest in messages if body.get("category") != "canary"]

    def everything(self) -> str:
        """Return all stored rows of all tables."""
        with self._engine.connect() as connection:
            names = inspect(connection).get_table_names()
            tables = [connection.execute(text(f"SELECT * FROM {name}")).all() for name in names]
        assert len(tables) > 3
        return repr(tables)

    def stays_locked(self) -> bool:
        """Return whether a lock is held for a second, during which the event loop stands still.

        A transaction that another thread runs from its beginning to its end at this moment does not count.
        """
        deadline = time.monotonic() + 1
        while self._is_locked():
            if time.monotonic() > deadline:
                return True
            time.sleep(0.01)  # the event loop must not run meanwhile
        return False

    def _is_locked(self) -> bool:
        if not self.url.is_sqlite:
            held = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_rows_modified + trx_rows_locked > 0"
            return bool(self.rows(held))
        with closing(sqlite3.connect(self.url.path, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False


class Broker:
    """A broker that does not run yet; it runs while the context of `running` lasts."""

    def __init__(self, url: str, is_up: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self.url = AmqpUrl.parse(url)
        self._is_up = is_up

    @asynccontextmanager
    async def running(self, *, has_queues: bool = True) -> AsyncIterator["Broker"]:
        async with self._is_up():
            if has_queues:
                await self.declare()
            yield self

    async def declare(self) -> None:
        """Declare exchanges and queues, as the first consumer does."""
        connection = await aiormq.connect(self.url.url)
        await declare_all(connection, catalogue.load().topology)
        await connection.close()

    async def take(self, count: int) -> list[Any]:
        """Return that many messages of the queue, waiting for them; fail if there are more."""
        connection = await aiormq.connect(self.url.url)
        channel = await connection.channel()
        taken: list[Any] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(taken) < count:
                message = await channel.basic_get("email.work", no_ack=True)
                if message.delivery_tag is None:
                    await asyncio.sleep(0.01)
                else:
                    taken.append(message)
        rest = await channel.queue_declare("email.work", passive=True)
        await connection.close()
        assert rest.message_count == 0
        return taken


@pytest.fixture(scope="session")
def databases(mariadb: Databases) -> Databases:
    """Return MariaDB's databases."""
    return mariadb


@pytest.fixture(scope="session")
def migrated(databases: Databases) -> Iterator[str]:
    """Yield the name of a database whose tables the migrations have made; tests copy its tables."""
    name = f"test_{secrets.token_hex(4)}"
    databases.create(name)

    async def migrate() -> None:
        async with open_database(DatabaseUrl(databases.url(name))) as database:
            await schema.prepare(database)

    with ThreadPoolExecutor(1) as thread:  # this thread has no event loop yet
        thread.submit(asyncio.run, migrate()).result()
    yield name
    databases.drop(name)


@pytest.fixture
def data(real_servers: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Data:
    """Return the site's database: empty on SQLite; on MariaDB with tables, because its migrations take a second."""
    if real_servers is None:
        return Data(DatabaseUrl(f"sqlite:///{tmp_path / 'cms.db'}"))
    name = real_servers.database_url.rpartition("/")[2]
    request.getfixturevalue("databases").copy_tables(request.getfixturevalue("migrated"), name)
    return Data(DatabaseUrl(real_servers.database_url))


def development_broker(folder: Path) -> Broker:
    """Return a development broker that does not run yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    @asynccontextmanager
    async def is_up() -> AsyncIterator[None]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        async with devbroker_running(listener, journal=folder / "broker.db"):
            yield

    return Broker(f"amqp://guest:guest@127.0.0.1:{port}/", is_up)


@pytest.fixture
def rabbitmq_url(rabbitmq: Any) -> Iterator[str]:
    """Yield the URL of a vhost that does not exist yet; most tests here never need it."""
    name = f"test-{secrets.token_hex(4)}"
    yield rabbitmq.url(name)
    if isinstance(rabbitmq, Rabbitmq):
        rabbitmq.recover()
        rabbitmq.delete_vhost(name)


def rabbitmq_broker(node: Any, url: str) -> Broker:
    """Return a RabbitMQ whose vhost does not exist yet; for the site this is the same as no broker."""
    vhost = url.rpartition("/")[2]

    @asynccontextmanager
    async def is_up() -> AsyncIterator[None]:
        await asyncio.to_thread(node.add_vhost, vhost)
        yield

    return Broker(url, is_up)


@pytest.fixture
def broker(real_servers: Any, request: pytest.FixtureRequest, tmp_path: Path) -> Broker:
    """Return a broker that does not run yet."""
    if real_servers is None:
        return development_broker(tmp_path)
    return rabbitmq_broker(request.getfixturevalue("rabbitmq_node"), real_servers.amqp_url)


class FreezableBroker:
    """A development broker in a process of its own, with all queues, that a test can freeze."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.is_frozen = asyncio.Event()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        self.is_frozen.set()


@pytest.fixture
async def freezable_broker(broker: Broker) -> AsyncIterator[FreezableBroker]:
    """Yield a running development broker that the test can freeze."""
    place = broker.url.url.rpartition("@")[2].rstrip("/")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mailpact_cli", "devbroker", "--listen", place),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert process.stdout is not None
            while b"development broker on" not in (line := await process.stdout.readline()):
                assert line, "the broker ended"
            await broker.declare()
        yield FreezableBroker(process)
    finally:
        process.kill()
        await process.communicate()


Serve = Callable[..., AbstractAsyncContextManager[Site]]
StartSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def browser() -> AsyncIterator[Callable[[str], Site]]:
    """Yield a function that opens a browser, without cookies, on a site."""
    async with AsyncExitStack() as stack:

        def open_browser(url: str) -> Site:
            session = aiohttp.ClientSession(
                cookie_jar=aiohttp.CookieJar(unsafe=True),
                timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
            )
            stack.push_async_callback(session.close)
            return Site(url, session)

        yield open_browser


@pytest.fixture
def serve(data: Data, broker: Broker, browser: Callable[[str], Site]) -> Serve:
    """Return a function that runs a site while the context lasts."""

    @asynccontextmanager
    async def running(*, base_url: str = "http://127.0.0.1", **options: Any) -> AsyncIterator[Site]:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        site = browser(f"http://127.0.0.1:{listener.getsockname()[1]}")
        # All browsers of a test are in one network.
        options = {"mail_limit_network": 0} | options
        settings = ProducerSettings(base_url=base_url, amqp_url=broker.url, database_url=data.url, **options)
        async with producer_running(settings, listener, journey=site.journey):
            yield site

    return running


@pytest.fixture
async def start_site(serve: Serve) -> AsyncIterator[StartSite]:
    """Yield a function that starts a site; at the end the sites are stopped, the last one first."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Site:
            return await stack.enter_async_context(serve(**options))

        yield start


@pytest.fixture
async def site(start_site: StartSite) -> Site:
    """Return a site without a broker: no message leaves the outbox."""
    return await start_site()


@pytest.fixture
def eventually() -> Callable[[str, Callable[[], object]], Awaitable[None]]:
    """Return a function that waits until a condition is true."""

    async def wait(what: str, is_true: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not is_true():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"waited in vain until {what}") from None

    return wait


@pytest.fixture
async def people(site: Any, data: Any, browser: Any) -> dict[str, Any]:
    """Return the browsers of an administrator (ada) and of two readers, all logged in."""
    opened = {}
    for email in (ADA, BOB, EVE):
        opened[email] = browser(site.url)
        await opened[email].confirmed(email, data)
        assert (await opened[email].log_in(email)).status == 303
    data.rows("UPDATE users SET is_admin = 1 WHERE email = :email", email=ADA)
    return opened
