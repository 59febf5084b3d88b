"""A MariaDB or MySQL server of our own, which tests may stop, kill and freeze, and databases on any server.

The server keeps its truthful defaults: every commit is on disk before it is answered. Its one user comes over TCP with
a random password; the users that the installation makes are removed. MariaDB takes 0.6 s to install and 0.1 s to start,
MySQL 3 s and 0.6 s. A MySQL that is installed is not looked for: it comes with a lane (`where`).
"""

import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.cursors import Cursor

from tests.servers.packages import library_folders
from tests.servers.run_folder import PrivateProcess, RunFolder

CONNECT_SECONDS = 10
USER = "mailpact"
LOG_FILE_SIZE = "--innodb-log-file-size=16M"
LOG_CAPACITY = "--innodb-redo-log-capacity=8M"
# A killed server loses nothing by this, only a machine without power would. Making and dropping tables takes a third.
NO_SYNC = ("--loose-innodb-flush-method=nosync", "--loose-debug-no-sync", "--loose-skip-sync-frm")


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

    def copy_tables(self, source: str, name: str) -> None:
        """Copy all tables of a database, with their rows, into an empty one."""
        with self._cursor() as cursor:
            cursor.execute(f"SHOW TABLES IN `{source}`")
            for (table,) in cursor.fetchall():
                cursor.execute(f"CREATE TABLE `{name}`.`{table}` LIKE `{source}`.`{table}`")
                cursor.execute(f"INSERT INTO `{name}`.`{table}` SELECT * FROM `{source}`.`{table}`")

    def kill_connections(self, name: str) -> int:
        """End every connection to a database from the server's side; return how many there were."""
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


class DatabaseServer(PrivateProcess, ABC):
    """A server, started on construction; `databases` makes and drops databases on it."""

    title: str
    program: str  # below the root folder

    def __init__(self, run: RunFolder, root: Path) -> None:
        self.certificate: Path | None = None
        """A file with a key and a certificate for TLS, from the next start on."""
        self.port = run.reserve_port()
        self._password = secrets.token_hex(12)
        super().__init__(run, run.folder(self.title.lower()))
        self._root = root
        (self._folder / "tmp").mkdir()
        (self._folder / "users.sql").write_text(self._users())
        self._install()
        self.start()
        self.databases = Databases(f"mysql+pymysql://{USER}:{self._password}@127.0.0.1:{self.port}/")

    @abstractmethod
    def _users(self) -> str:
        """Return the statements, run at every start, that leave our user alone; each stands on a line of its own."""

    @abstractmethod
    def _installation(self) -> list[str]:
        """Return the words that make the system's own tables."""

    @abstractmethod
    def _own_options(self) -> list[str]:
        """Return what only this product knows or needs to start."""

    def start(self) -> None:
        """Start the server, again if it ran before: same port, same data. Returns when it answers (0.1-0.6 s)."""
        words = [
            *(str(self._root / self.program), *self._options(), *self._own_options(), f"--port={self.port}"),
            *("--bind-address=127.0.0.1", "--socket=socket", "--pid-file=pid", "--skip-name-resolve"),
            *("--innodb-buffer-pool-size=32M", "--performance-schema=OFF", "--character-set-server=utf8mb4"),
            f"--init-file={self._folder / 'users.sql'}",
            f"--plugin-dir={self._root / 'usr/lib/mysql/plugin'}",
            *self._tls(),
        ]
        self.begin(words, self._variables(), f"{self.title.lower()}.log")
        self.wait_until(f"{self.title} answers", self._answers)

    def _tls(self) -> list[str]:
        if self.certificate is None:
            return []
        return [f"--ssl-cert={self.certificate}", f"--ssl-key={self.certificate}"]

    def recover(self) -> None:
        """Bring the server back from whatever a test did to it."""
        if not self.is_running:
            self.start()
        self.thaw()

    def _install(self) -> None:
        words = self._installation()
        if code := self.begin(words, self._variables(), "install.log").wait():
            raise ChildProcessError(f"{Path(words[0]).name} ended with {code}:\n{self.log()[-2000:]}")

    def _variables(self) -> dict[str, str]:
        libraries = ":".join(str(folder) for folder in library_folders(self._root))
        return {"HOME": str(self._folder)} | ({"LD_LIBRARY_PATH": libraries} if libraries else {})

    def _options(self) -> list[str]:
        user = ["--user=root"] if os.geteuid() == 0 else []  # root's server would else look for a system user
        return [
            *("--no-defaults", f"--basedir={self._root / 'usr'}", f"--datadir={self._folder / 'data'}"),
            *(f"--tmpdir={self._folder / 'tmp'}", f"--lc-messages-dir={self._root / 'usr/share/mysql'}"),
            *user,
        ]

    def _answers(self) -> bool:
        """A server that is ready greets whoever connects."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return len(connection.recv(5)) == 5
        except OSError:
            return False


class MariaDB(DatabaseServer):
    """A MariaDB server of our own."""

    title = "MariaDB"
    program = "usr/sbin/mariadbd"

    def _users(self) -> str:
        return (
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\nFLUSH PRIVILEGES;\n"
            f"CREATE OR REPLACE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{self._password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )

    def _installation(self) -> list[str]:
        return [
            *(str(self._root / "usr/bin/mariadb-install-db"), *self._options(), "--skip-test-db"),
            *("--auth-root-authentication-method=normal", LOG_FILE_SIZE, *NO_SYNC),
        ]

    def _own_options(self) -> list[str]:
        return [LOG_FILE_SIZE, *NO_SYNC]


class MySQL(DatabaseServer):
    """A MySQL server of our own."""

    title = "MySQL"
    program = "usr/sbin/mysqld"

    def _users(self) -> str:
        account = f"'{USER}'@'127.0.0.1'"
        return (
            "DROP USER IF EXISTS 'root'@'localhost';\n"
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{self._password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
        )

    def _installation(self) -> list[str]:
        return [str(self._root / self.program), *self._options(), "--initialize-insecure", LOG_CAPACITY]

    def _own_options(self) -> list[str]:
        # The X protocol would listen on a port of its own; Debian's default folder for files is not there.
        return [LOG_CAPACITY, "--mysqlx=OFF", "--secure-file-priv=NULL", "--disable-log-bin"]


def is_installed(root: Path) -> bool:
    """Return whether a root folder, `/` for what is installed, holds a MariaDB server."""
    return all((root / program).exists() for program in (MariaDB.program, "usr/bin/mariadb-install-db"))
