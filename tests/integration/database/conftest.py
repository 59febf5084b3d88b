"""Fixtures: a MariaDB database for each test, opened in the way that the components open databases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from mailpact.database.engine import open_database
from mailpact.database.mysql import TABLE
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl

Opening = Callable[[str], Database]


@pytest.fixture
def opened() -> Opening:
    """Return a function that opens a database as another process would; the context closes it again."""
    return lambda url: open_database(DatabaseUrl(url))


@pytest.fixture
async def empty(opened: Opening, mariadb_url: str) -> AsyncIterator[Database]:
    """Yield the test's database, without tables."""
    async with opened(mariadb_url) as database:
        yield database


@pytest.fixture
async def database(empty: Database) -> Database:
    """Return the test's database, with one empty table, `notes`."""
    options = f"ENGINE={TABLE['mysql_engine']} COLLATE={TABLE['mysql_collate']}"
    make = f"CREATE TABLE notes (text VARCHAR(100) PRIMARY KEY, number INTEGER NOT NULL) {options}"
    await empty.transact(lambda connection: connection.execute(text(make)))
    return empty


@pytest.fixture
def clear(mariadb: Any, mariadb_url: str) -> Callable[[], None]:
    """Return a function that drops the test's database and creates an empty one."""

    def clearing() -> None:
        databases, name = getattr(mariadb, "databases", mariadb), mariadb_url.rpartition("/")[2]
        databases.drop(name)
        databases.create(name)

    return clearing


@pytest.fixture
def kill_connections(mariadb: Any, mariadb_url: str) -> Callable[[], int]:
    """Return a function that closes all connections to the test's database at the server, and counts them."""
    databases, name = getattr(mariadb, "databases", mariadb), mariadb_url.rpartition("/")[2]
    return lambda: databases.kill_connections(name)


@pytest.fixture
def write() -> Callable[..., Any]:
    """Return a function that makes the work of writing a note."""

    def work_of(note: str) -> Callable[..., None]:
        def work(connection: Any) -> None:
            connection.execute(text("INSERT INTO notes VALUES (:note, 0)"), {"note": note})

        return work

    return work_of


@pytest.fixture
def notes() -> Callable[..., Any]:
    """Return the work that reads all notes."""

    def work(connection: Any) -> list[str]:
        return list(connection.execute(text("SELECT text FROM notes ORDER BY text")).scalars())

    return work


class Wire:
    """The network between the test and the server, which can be cut."""

    here = ""
    """The database's URL at this end."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._carrying: set[asyncio.Task[None]] = set()
        self._is_to_be_cut = False
        self._arrives = False

    def cut(self, *, arrives: bool) -> None:
        """Cut the connection at the next packet to the server, before or after the server gets the packet."""
        self._is_to_be_cut, self._arrives = True, arrives

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._carrying.add(asyncio.create_task(self._carry(reader, writer)))

    async def close(self) -> None:
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        back = asyncio.create_task(self._back(server_reader, writer))
        try:
            while chunk := await reader.read(65536):
                if self._is_to_be_cut:
                    self._is_to_be_cut = False
                    back.cancel()
                    await asyncio.wait({back})
                    if self._arrives:
                        server_writer.write(chunk)
                        await server_reader.read(
                            1
                        )  # the server has answered, so it has finished the statement
                    break
                server_writer.write(chunk)
        finally:
            back.cancel()
            for end in (server_writer, writer):
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)


@pytest.fixture
async def wire(mariadb_url: str) -> AsyncIterator[Wire]:
    """Yield a network to the test's database that the test can cut; its own URL is `wire.here`."""
    wire = Wire(mariadb_url)
    async with await asyncio.start_server(wire.accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        wire.here = mariadb_url.replace(f":{urlsplit(mariadb_url).port}/", f":{port}/")
        yield wire
        await wire.close()
