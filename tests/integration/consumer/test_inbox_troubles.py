"""The inbox's database refuses, is full, or loses the answer to a COMMIT: mail waits, and each mail is sent once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pymysql
import pytest
from sqlalchemy import Connection, Engine, event
from structlog.testing import capture_logs

from mailpact.settings import DatabaseUrl
from tests.conftest import EMBEDDED, REAL

HELD, AGAIN = "mail cannot be sent now, trying again", "mail can be sent again"
Act = Callable[[], object]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailpact.database.mysql.ANSWER_SECONDS", 1)


async def send(stage: Any, count: int) -> None:
    await asyncio.gather(*(stage.order(f"r{n}@example.org", message_id=str(uuid4())) for n in range(count)))


async def mails_through(
    stage: Any, eventually: Any, hurt: Act, mend: Act, *, count: int
) -> list[dict[str, Any]]:
    """Publish messages while the database fails; return the log until each message was mailed."""
    with capture_logs() as log:
        async with stage.consumer():
            await stage.order("first@example.org", message_id=str(uuid4()))
            await eventually("the first one is a mail", lambda: stage.mail_server.mails)
            await asyncio.to_thread(hurt)
            await send(stage, count)
            await eventually("it is said", lambda: any(entry["event"] == HELD for entry in log))
            await asyncio.to_thread(mend)
            await eventually("all are mails", lambda: len(stage.mail_server.mails) == count + 1)
            await eventually("recovery is said", lambda: any(entry["event"] == AGAIN for entry in log))
    return list(log)


async def assert_each_once(stage: Any, count: int) -> None:
    recipients = [recipient for recipient, _ in stage.mail_server.mails]
    assert sorted(set(recipients)) == sorted(recipients)
    assert await stage.rows("state, uncertain, unanswered") == [("sent", 0, 0)] * (count + 1)
    assert (await stage.waiting("email.work"), await stage.waiting("email.dead")) == (0, 0)


class Operator:
    """The operator of the database server; the consumer logs in as another user without an operator's rights."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._login = {
            "host": "127.0.0.1",
            "port": parts.port,
            "user": parts.username,
            "password": parts.password,
        }
        self.database = parts.path.removeprefix("/")
        self.user = f"inbox_{uuid4().hex[:8]}"
        self.url = f"mysql+pymysql://{self.user}:right@127.0.0.1:{parts.port}/{self.database}"

    def run(self, *statements: str) -> None:
        with pymysql.connect(**self._login, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.format(user=f"'{self.user}'@'%'", database=f"`{self.database}`"))


@pytest.fixture
def operator(real_servers: Any) -> Iterator[Operator]:
    operator = Operator(real_servers.database_url)
    operator.run("CREATE USER {user} IDENTIFIED BY 'right'", "GRANT ALL ON {database}.* TO {user}")
    yield operator
    operator.run("SET GLOBAL read_only = 0", "DROP USER {user}")


TROUBLES = {
    "read-only": ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
    "without rights": ("REVOKE ALL ON {database}.* FROM {user}", "GRANT ALL ON {database}.* TO {user}"),
    "account locked": ("ALTER USER {user} ACCOUNT LOCK", "ALTER USER {user} ACCOUNT UNLOCK"),
    "another password": (
        "SET PASSWORD FOR {user} = PASSWORD('wrong')",
        "SET PASSWORD FOR {user} = PASSWORD('right')",
    ),
}


@pytest.mark.parametrize("real_servers", [REAL], ids=["real servers"], indirect=True)
@pytest.mark.parametrize(
    "trouble",
    [pytest.param(name, marks=[pytest.mark.long] if name != "read-only" else []) for name in TROUBLES],
)
async def test_mail_waits_while_the_database_refuses_and_each_is_sent_once_afterwards(
    stage: Any, operator: Operator, mariadb: Any, eventually: Any, trouble: str
) -> None:
    stage.inbox_url = DatabaseUrl(operator.url)
    hurt, mend = TROUBLES[trouble]

    def refuse() -> None:
        operator.run(hurt)
        mariadb.kill_connections(operator.database)

    log = await mails_through(stage, eventually, refuse, lambda: operator.run(mend), count=20)

    await assert_each_once(stage, 20)
    assert any("refuses" in str(entry) or "read-only" in str(entry) for entry in log)


@pytest.mark.parametrize("real_servers", [EMBEDDED], ids=["embedded"], indirect=True)
async def test_mail_waits_while_the_disk_of_the_inbox_is_full(stage: Any, eventually: Any) -> None:
    most_pages = [1_000_000]

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most_pages[0]}")

    event.listen(Engine, "begin", limit)
    try:
        # With a limit of 1 page the file cannot grow any more; its last pages have room for some rows, but not for 300.
        await mails_through(
            stage,
            eventually,
            lambda: most_pages.__setitem__(0, 1),
            lambda: most_pages.__setitem__(0, 1_000_000),
            count=300,
        )
    finally:
        event.remove(Engine, "begin", limit)

    await assert_each_once(stage, 300)


def without_tls(greeting: bytes) -> bytes:
    """Return a server's first packet without its offer of TLS, so that the proxy can read the statements.

    After a header of 4 bytes come the version of the protocol, the server's version, ended by a zero, 13 bytes, and the
    lower half of the capabilities, of which 0x0800 is CLIENT_SSL.
    """
    upper_byte = greeting.index(0, 5) + 1 + 13 + 1
    return greeting[:upper_byte] + bytes([greeting[upper_byte] & ~0x08]) + greeting[upper_byte + 1 :]


class ForgetfulNetwork:
    """A proxy in front of the database; after every third COMMIT it closes the connection without the answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.most = 0
        self._commits = 0
        self.lost = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        yield int(server.sockets[0].getsockname()[1])
        server.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        database, to_database = await asyncio.open_connection("127.0.0.1", self._port)
        to_client.write(without_tls(await database.read(65536)))
        answering = asyncio.create_task(self._pass_on(database, to_client))
        try:
            while data := await client.read(65536):
                is_forgotten = b"COMMIT" in data and self._is_next_forgotten()
                if is_forgotten:
                    answering.cancel()
                to_database.write(data)
                if is_forgotten:
                    await database.read(65536)  # the database has committed
                    break
        finally:
            answering.cancel()
            to_client.close()
            to_database.close()

    def _is_next_forgotten(self) -> bool:
        self._commits += 1
        if self._commits % 3 or self.lost >= self.most:
            return False
        self.lost += 1
        return True

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@pytest.mark.parametrize("real_servers", [REAL], ids=["real servers"], indirect=True)
async def test_commit_whose_answer_is_lost_makes_no_second_mail_and_no_report(
    stage: Any, eventually: Callable[..., Awaitable[None]]
) -> None:
    direct = stage.inbox_url
    parts = urlsplit(direct.url)
    network = ForgetfulNetwork(int(parts.port or 0))
    async with network.running() as port:
        stage.inbox_url = DatabaseUrl(
            f"mysql+pymysql://{parts.username}:{parts.password}@127.0.0.1:{port}{parts.path}"
        )
        async with stage.consumer() as consumer:
            await asyncio.wait_for(consumer.consuming.wait(), 20)
            network.most = 15
            for _ in range(15):
                await send(stage, 1)
            await eventually("all are mails", lambda: len(stage.mail_server.mails) >= 15)
            await eventually("all are acked", lambda: is_empty(stage))
        stage.inbox_url = direct

    assert network.lost >= 3
    assert len(stage.mail_server.mails) == 15
    assert await stage.rows("state, uncertain, unanswered") == [("sent", 0, 0)] * 15


async def is_empty(stage: Any) -> bool:
    return bool(await stage.waiting("email.work") == 0)
