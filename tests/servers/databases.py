"""Databases on a MariaDB or MySQL server: one for each test (0.4 ms), with whoever is connected to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.cursors import Cursor

CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Databases:
    """A server by its URL, `mysql+pymysql://USER:PASSWORD@HOST:PORT/`.

    The user must be allowed to create databases and to end other connections.
    """

    server_url: str

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        server = urlsplit(self.server_url)
        return f"{server.scheme}://{server.netloc}/{name}"

    def product(self) -> str:
        """Ask the server what it is, such as `MariaDB 10.11.19` or `MySQL 9.7.4`."""
        with self._cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            row = cursor.fetchone()
        assert row is not None
        version = str(row[0])
        return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.partition('-')[0]}"

    def create(self, name: str) -> None:
        """Create an empty database."""
        with self._cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}`")

    def drop(self, name: str) -> None:
        """Drop a database; connections to it are ended first, for they may hold its tables."""
        self.kill_connections(name)
        with self._cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def kill_connections(self, name: str) -> int:
        """End every connection to a database from the server's side; give how many there were."""
        with self._cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
            connections = [int(row[0]) for row in cursor.fetchall()]
            for connection in connections:
                cursor.execute("KILL %s", (connection,))
        return len(connections)

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        server = urlsplit(self.server_url)
        connection = pymysql.connect(
            host=server.hostname or "127.0.0.1",
            port=server.port or 3306,
            user=unquote(server.username or ""),
            password=unquote(server.password or ""),
            connect_timeout=CONNECT_SECONDS,
            read_timeout=CONNECT_SECONDS,
            autocommit=True,
        )
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()
