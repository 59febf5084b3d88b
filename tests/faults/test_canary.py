"""Each of six hops of the mail's path is broken in turn: the site reports the fault, and later that mail flows again.

The canary is sent every two seconds here, so its bound of 2.5 intervals is 5 seconds. These tests only check that the
page changes; `tests/unit/producer/test_canary.py` checks how quickly.
"""

import asyncio
import json
import smtplib
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import NullPool, create_engine, text

INTERVAL = "2"
CANARY = "canary+ns-canary@example.org"

Break = Callable[["System"], AbstractContextManager[None]]


class MailServer:
    """A mail server that forwards mail to the capture server, unless the test makes it refuse or drop mail."""

    def __init__(self, port: int) -> None:
        self.controller: Any = Controller(self, hostname="127.0.0.1", port=port)
        self.refuses = False
        self.forwards_to: int | None = None

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's names
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Reply to MAIL."""
        if self.refuses:
            return "421 4.3.2 shutting down"
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # as above
        """Forward a mail, or drop it."""
        if self.forwards_to is not None:
            await asyncio.to_thread(self._forward, self.forwards_to, envelope)
        return "250 OK"

    @property
    def url(self) -> str:
        """Return the host and port that the server listens on."""
        return f"smtp://127.0.0.1:{self.controller.port}"

    def _forward(self, port: int, envelope: Any) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail(envelope.mail_from, envelope.rcpt_tos, envelope.content)


@dataclass(frozen=True)
class RealServers:
    """RabbitMQ and MariaDB, which a test may stop or freeze."""

    rabbitmq: Any
    mariadb: Any


class System:
    """All processes on a mail's path, with a canary."""

    def __init__(self, place: Any, mail_server: MailServer, port: int, servers: RealServers | None) -> None:
        self.place = place
        self.mail_server = mail_server
        self.servers = servers
        self.broker = place.broker() if servers is None else None
        self.health_url = f"http://127.0.0.1:{port}/health/mail"
        place.capture()
        mail_server.forwards_to = place.smtp_port
        self.consumer = place.start_consumer_at(mail_server.url)
        options = ["--canary", CANARY, "--canary-interval", INTERVAL, "--health", f"127.0.0.1:{port}"]
        viewer = ["--canary-viewer-url", f"{place.viewer_url}/ns/canary"]
        place.producer("site", *options, *viewer)

    def health(self) -> tuple[int, Any]:
        """Return status and body of `/health/mail`."""
        try:
            with urllib.request.urlopen(self.health_url, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, json.load(answer)


@contextmanager
def database_away(system: System) -> Iterator[None]:
    if system.servers is None:
        with closing(sqlite3.connect(system.place.folder / "cms.db", isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            yield
    else:
        system.servers.mariadb.freeze()
        yield
        system.servers.mariadb.thaw()


@contextmanager
def relay_stuck(system: System) -> Iterator[None]:
    """Put the time at which a row is due far into the future, so that the relay publishes none."""
    far = 9_000_000_000_000_000
    engine = create_engine(system.place.database_url("cms.db"), poolclass=NullPool)
    change = f"UPDATE outbox SET available_at = {far} WHERE id = NEW.id; END"
    trigger = (
        f"CREATE TRIGGER stuck AFTER INSERT ON outbox BEGIN {change}"
        if engine.dialect.name == "sqlite"
        else f"CREATE TRIGGER stuck BEFORE INSERT ON outbox FOR EACH ROW SET NEW.available_at = {far}"
    )
    with engine.begin() as connection:
        connection.execute(text(trigger))
    yield
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER stuck"))
        connection.execute(text("UPDATE outbox SET available_at = 0 WHERE available_at = :far"), {"far": far})


@contextmanager
def broker_stopped(system: System) -> Iterator[None]:
    if system.broker is not None:
        system.broker.kill()
        yield
        system.broker.start()
    else:
        assert system.servers is not None
        system.servers.rabbitmq.stop_application()
        yield
        system.servers.rabbitmq.start_application()


@contextmanager
def consumer_killed(system: System) -> Iterator[None]:
    system.consumer.kill()
    yield
    system.consumer.start()


@contextmanager
def mail_server_refusing(system: System) -> Iterator[None]:
    system.mail_server.refuses = True
    yield
    system.mail_server.refuses = False


@contextmanager
def mail_lost_behind_the_mail_server(system: System) -> Iterator[None]:
    system.mail_server.forwards_to = None
    yield
    system.mail_server.forwards_to = system.place.smtp_port


HOPS: dict[str, tuple[Break, str]] = {
    "database": (database_away, "the database"),
    "relay": (relay_stuck, "the last one is committed"),
    "broker": (broker_stopped, "broker"),
    "consumer": (consumer_killed, "the last one is confirmed"),
    "mail server": (mail_server_refusing, "the last one is"),
    "capture server": (mail_lost_behind_the_mail_server, "the last one is sent"),
}


@pytest.fixture
def mail_server(free_port: int) -> Iterator[MailServer]:
    server = MailServer(free_port)
    server.controller.start()
    yield server
    server.controller.stop()


def each_hop_broken_and_mended(system: System, wait_until: Any) -> None:
    wait_until("the first canary arrives", lambda: system.health()[0] == 200)
    for hop, (broken, words) in HOPS.items():
        with broken(system):
            wait_until(
                f"the site says that {hop} is broken, in the words {words!r}",
                lambda words=words: (told := system.health())[0] == 503 and words in told[1]["detail"],
            )
        wait_until(f"the site says that mail flows after {hop} is mended", lambda: system.health()[0] == 200)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_broken_hop_is_told_on_embedded_parts(
    mailpact: Any, mail_server: MailServer, wait_until: Any, second_free_port: int
) -> None:
    each_hop_broken_and_mended(System(mailpact, mail_server, second_free_port, None), wait_until)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_broken_hop_is_told_on_real_servers(
    mailpact_at: Any,
    rabbitmq_node: Any,
    rabbitmq_url: str,
    mariadb_server: Any,
    mariadb_url: str,
    mail_server: MailServer,
    wait_until: Any,
    second_free_port: int,
) -> None:
    place = mailpact_at(f"{rabbitmq_url}?heartbeat=2", mariadb_url)
    system = System(place, mail_server, second_free_port, RealServers(rabbitmq_node, mariadb_server))
    each_hop_broken_and_mended(system, wait_until)
