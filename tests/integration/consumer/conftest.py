"""Fixtures: a consumer with the test's own broker and inbox, and a mail server that the test controls."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiormq
import pika
import pytest
from aiormq.abc import DeliveredMessage
from aiosmtpd.smtp import SMTP, Envelope, Session
from pamqp import commands
from sqlalchemy import NullPool, create_engine, text

from mailpact.database.engine import open_database
from mailpact.settings import AmqpUrl, DatabaseUrl
from mailpact.telemetry import Journey
from mailpact_consumer import rounds, server_watch, service, settle
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.schedule import Schedule
from mailpact_consumer.settings import ConsumerSettings
from mailpact_consumer.smtp_url import SmtpUrl
from mailpact_devbroker.service import running as devbroker_running

PATIENCE_SECONDS = 20


@dataclass
class MailServer:
    """A mail server.

    Each command takes the next answer from its list; after the list the server answers with success.
    """

    port: int = 0
    mail_replies: list[str] = field(default_factory=list)
    rcpt_replies: list[str] = field(default_factory=list)
    data_replies: list[str] = field(
        default_factory=list
    )  # "drop" closes the connection instead of answering the final dot
    mails: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    before_data_reply: asyncio.Event = field(default_factory=asyncio.Event)
    """The answer to the final dot waits for it; it is set unless a test clears it."""

    def __post_init__(self) -> None:
        """Let the server answer the final dot at once."""
        self.before_data_reply.set()

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's names
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Reply to MAIL."""
        reply = self.mail_replies.pop(0) if self.mail_replies else "250 OK"
        if reply.startswith("250"):
            envelope.mail_from = address
        return reply

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's names
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Reply to RCPT."""
        reply = self.rcpt_replies.pop(0) if self.rcpt_replies else "250 OK"
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        """Receive a mail, and answer."""
        reply = self.data_replies.pop(0) if self.data_replies else "250 OK"
        if reply == "drop" or reply.startswith("250"):
            self.mails.append((envelope.rcpt_tos[0], bytes(envelope.content or b"")))
        await self.before_data_reply.wait()
        if reply == "drop":
            assert server.transport is not None
            server.transport.abort()
        return reply

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen, on the same port each time."""

        def connected() -> SMTP:
            self.connections += 1
            return SMTP(self, hostname="localhost")

        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        server = await asyncio.get_running_loop().create_server(connected, sock=listener)
        try:
            yield
        finally:
            server.close()


class Stage:
    """The broker, the inbox and the mail server of the consumers under test."""

    def __init__(self, amqp_url: str, inbox_url: DatabaseUrl, mail_server: MailServer) -> None:
        self.amqp_url = amqp_url
        self.inbox_url = inbox_url
        self.mail_server = mail_server
        self.journey = Journey()

    def consumer(self, health: socket.socket | None = None, **settings: Any) -> Any:
        """Return the context of a running consumer."""
        usual = {
            "amqp_url": AmqpUrl.parse(self.amqp_url),
            "smtp_url": SmtpUrl("127.0.0.1", self.mail_server.port),
            "inbox_url": self.inbox_url,
            "mail_from": Mailbox("cms@mail.example"),
            "retry_schedule": Schedule.parse("1s"),
            "unanswered_pause_seconds": 1.0,
        }
        chosen = ConsumerSettings(**usual | settings)
        return service.running(chosen, journey=self.journey, health=health)

    async def publish(self, body: bytes, **properties: Any) -> None:
        """Publish a message, as soon as its queue exists."""
        connection = await aiormq.connect(self.amqp_url)
        channel = await connection.channel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    await channel.basic_publish(
                        body,
                        exchange="email",
                        properties=commands.Basic.Properties(**{"content_type": "text/plain", **properties}),
                        mandatory=True,
                    )
                    break
                except aiormq.exceptions.DeliveryError:  # the queue does not exist yet, or is just starting
                    await asyncio.sleep(0.02)
                except aiormq.exceptions.ChannelNotFoundEntity:
                    channel = await connection.channel()
        await connection.close()

    async def publish_without_id(self, body: bytes) -> None:
        """Publish a message without an id; aiormq always adds an id."""

        def publish() -> None:
            with pika.BlockingConnection(pika.URLParameters(self.amqp_url)) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                properties = pika.BasicProperties(content_type="text/plain")
                channel.basic_publish("email", "", body, properties, mandatory=True)

        await asyncio.to_thread(publish)

    async def order(self, email: str = "ada@example.org", message: str = "Hello", **properties: Any) -> None:
        """Publish a valid message."""
        await self.publish(json.dumps({"email": email, "message": message}).encode(), **properties)

    async def waiting(self, queue: str) -> int:
        """Return the number of ready messages in a queue."""
        connection = await aiormq.connect(self.amqp_url)
        channel = await connection.channel()
        declared = await channel.queue_declare(queue, passive=True)
        await connection.close()
        return int(declared.message_count or 0)

    async def take_letter(self) -> DeliveredMessage:
        """Take one dead letter, waiting for it."""
        connection = await aiormq.connect(self.amqp_url)
        channel = await connection.channel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                got = await channel.basic_get("email.dead", no_ack=True)
                if not isinstance(got.delivery, commands.Basic.GetEmpty):
                    break
                await asyncio.sleep(0.02)
        await connection.close()
        return got

    @asynccontextmanager
    async def status_events(self) -> AsyncIterator[Callable[[str], Awaitable[list[dict[str, Any]]]]]:
        """Yield a function that returns status events from now on.

        The function returns all events up to the first event of a kind.
        """
        connection = await aiormq.connect(self.amqp_url)
        channel = await connection.channel()
        await channel.exchange_declare("email.status", exchange_type="topic", durable=True)
        declared = await channel.queue_declare(exclusive=True)
        await channel.queue_bind(declared.queue, "email.status", "#")

        async def until(event: str) -> list[dict[str, Any]]:
            seen: list[dict[str, Any]] = []
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not seen or seen[-1]["event"] != event:
                    got = await channel.basic_get(declared.queue, no_ack=True)
                    if isinstance(got.delivery, commands.Basic.GetEmpty):
                        await asyncio.sleep(0.02)
                    else:
                        seen.append(json.loads(got.body))
            return seen

        yield until
        await connection.close()

    @contextmanager
    def locked_inbox(self) -> Iterator[None]:
        """Lock the inbox against writes, as a backup or a long ALTER TABLE does."""
        engine = create_engine(self.inbox_url.url, poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "BEGIN IMMEDIATE" if self.inbox_url.is_sqlite else "LOCK TABLES inbox READ"
            )
            yield

    async def row(self, columns: str = "state, attempts, uncertain") -> tuple[Any, ...]:
        """Return the inbox's only row."""
        (row,) = await self.rows(columns)
        return row

    async def rows(self, columns: str = "state, attempts, uncertain") -> list[tuple[Any, ...]]:
        """Return the inbox's rows."""
        async with open_database(self.inbox_url) as database:
            found = await database.transact(lambda c: c.execute(text(f"SELECT {columns} FROM inbox")).all())
        return [tuple(row) for row in found]

    async def have_it_come_again(self) -> None:
        """Take the waiting message and return it to the queue, so that the next delivery is marked as redelivered."""
        connection = await aiormq.connect(self.amqp_url)
        channel = await connection.channel()
        got = await channel.basic_get("email.work")
        await channel.basic_nack(got.delivery.delivery_tag, requeue=True)
        await connection.close()


@pytest.fixture
async def amqp_url(real_servers: Any) -> AsyncIterator[str]:
    """Yield the AMQP URL of a broker without queues."""
    if real_servers is not None:
        yield real_servers.amqp_url
        return
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    async with devbroker_running(listener, journal=None) as broker:
        yield broker.url


@pytest.fixture
def inbox_url(real_servers: Any, tmp_path: Path) -> DatabaseUrl:
    """Return a database without tables."""
    if real_servers is None:
        return DatabaseUrl(f"sqlite:///{tmp_path / 'inbox.db'}")
    return DatabaseUrl(real_servers.database_url)


@pytest.fixture
async def stage(
    amqp_url: str, inbox_url: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """Yield a mail server with the broker, and shorten the consumer's waits."""
    for module in (rounds, settle):
        monkeypatch.setattr(module, "backoff_seconds", lambda *_: 0.05)
    monkeypatch.setattr(server_watch, "FIRST_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(server_watch, "LONGEST_PROBE_SECONDS", 0.2)
    mail_server = MailServer()
    async with mail_server.running():
        yield Stage(amqp_url, inbox_url, mail_server)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Return a function that waits until a condition is true."""

    async def wait(what: str, is_true: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    found = is_true()
                    if asyncio.iscoroutine(found):
                        found = await found
                    if found:
                        return
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"waited in vain until {what}") from None

    return wait
