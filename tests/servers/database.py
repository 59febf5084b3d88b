"""A MariaDB or MySQL server of our own, which tests may stop, kill and freeze, and databases on any server.

The server keeps its truthful defaults: every commit is on disk before it is answered, except where pytest asks MariaDB
not to wait for the disk (`unsynced`). Its one user comes over TCP with a random password; the users that the
installation makes are removed. MariaDB takes 0.6 s to install and 0.1 s to start, MySQL 3 s and 0.6 s. A MySQL that is
installed is not looked for: it comes with a lane (`where`).
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.cursors import Cursor

from tests.servers.packages import library_folders
from tests.servers.run_folder import PrivateProcess, RunFolder, greeting

CONNECT_SECONDS = 10
USER = "mailpact"


class Databases:
    """A server by its URL, `mysql+pymysql://USER:PASSWORD@HOST:PORT/`.

    The user must be allowed to create databases and to end other connections.
    """

    def __init__(self, server_url: str) -> None:
        self._place = urlsplit(server_url)

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"{self._place.scheme}://{self._place.netloc}/{name}"

    def product(self) -> str:
        """Ask the server what it is, such as `MariaDB 10.11.19` or `MySQL 9.7.4`."""
        ((version,),) = self._rows("SELECT VERSION()")
        return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.partition('-')[0]}"

    def create(self, name: str) -> None:
        """Create an empty database."""
        self._rows(f"CREATE DATABASE `{name}`")

    def drop(self, name: str) -> None:
        """Drop a database; connections to it are ended first, for they may hold its tables."""
        self.kill_connections(name)
        self._rows(f"DROP DATABASE IF EXISTS `{name}`")

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
            connections = cursor.fetchall()
            for connection in connections:
                cursor.execute("KILL %s", connection)
        return len(connections)

    def _rows(self, query: str) -> tuple[tuple[str, ...], ...]:
        with self._cursor() as cursor:
            cursor.execute(query)
            return tuple(cursor.fetchall())

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        with (
            pymysql.connect(
                host=self._place.hostname or "127.0.0.1",
                port=self._place.port or 3306,
                user=unquote(self._place.username or ""),
                password=unquote(self._place.password or ""),
                connect_timeout=CONNECT_SECONDS,
                read_timeout=CONNECT_SECONDS,
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor


class DatabaseServer(PrivateProcess, Databases):
    """A server of our own, started on construction; `users` is SQL run at every start, each statement on a line."""

    title: str
    program: str  # below the root folder
    installer: str
    install_options: tuple[str, ...]
    options: tuple[str, ...]  # what only this product knows or needs to start
    unsynced: tuple[str, ...] = ()  # what makes this product write without waiting for the disk
    users: str

    def __init__(self, run: RunFolder, root: Path, *, syncs: bool = True) -> None:
        self.certificate: Path | None = None
        """A file with a key and a certificate for TLS, from the next start on."""
        self.port = run.reserve_port()
        self._root = root
        self._own = self.options if syncs else (*self.options, *self.unsynced)
        password = secrets.token_hex(12)
        PrivateProcess.__init__(self, run, run.folder(self.title.lower()))
        Databases.__init__(self, f"mysql+pymysql://{USER}:{password}@127.0.0.1:{self.port}/")
        (self._folder / "tmp").mkdir()
        account = f"'{USER}'@'127.0.0.1'"
        (self._folder / "users.sql").write_text(self.users.format(account=account, password=password))
        if code := self._run_program(
            self.installer, *self.install_options, *self._own, log="install.log"
        ).wait():
            raise ChildProcessError(f"{self.installer} ended with {code}:\n{self.log()[-2000:]}")
        self.start()

    def start(self) -> None:
        """Start the server, again if it ran before: same port, same data. Returns when it answers (0.1-0.6 s)."""
        self._run_program(
            self.program,
            *(*self._own, f"--port={self.port}", "--bind-address=127.0.0.1", "--socket=socket"),
            *("--pid-file=pid", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"),
            *("--performance-schema=OFF", "--character-set-server=utf8mb4"),
            *(f"--init-file={self._folder}/users.sql", f"--plugin-dir={self._root}/usr/lib/mysql/plugin"),
            *(
                [f"--ssl-cert={self.certificate}", f"--ssl-key={self.certificate}"]
                if self.certificate
                else []
            ),
            log=f"{self.title.lower()}.log",
        )
        # A server that is ready greets whoever connects.
        self.wait_until(f"{self.title} answers", lambda: bool(greeting(self.port)))

    def recover(self) -> None:
        """Bring the server back from whatever a test did to it."""
        if not self.is_running:
            self.start()
        self.thaw()

    def _run_program(self, program: str, *words: str, log: str) -> "DatabaseServer":
        root, folder = self._root, self._folder
        libraries = ":".join(map(str, library_folders(root)))
        options = [
            "--no-defaults",
            f"--basedir={root}/usr",
            f"--datadir={folder}/data",
            f"--tmpdir={folder}/tmp",
        ]
        options.append(f"--lc-messages-dir={root}/usr/share/mysql")
        if os.geteuid() == 0:  # root's server would else look for a system user
            options.append("--user=root")
        variables = {"HOME": str(folder)} | ({"LD_LIBRARY_PATH": libraries} if libraries else {})
        return self.begin([str(root / program), *options, *words], variables, log)


class MariaDB(DatabaseServer):
    """A MariaDB server of our own."""

    title = "MariaDB"
    program = "usr/sbin/mariadbd"
    options = ("--innodb-log-file-size=16M",)
    # A killed server loses nothing by this, only a machine without power would. It saves a third of making tables.
    unsynced = ("--loose-innodb-flush-method=nosync", "--loose-debug-no-sync", "--loose-skip-sync-frm")
    installer = "usr/bin/mariadb-install-db"
    install_options = ("--skip-test-db", "--auth-root-authentication-method=normal")
    users = (
        "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\nFLUSH PRIVILEGES;\n"
        "CREATE OR REPLACE USER {account} IDENTIFIED BY '{password}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
    )


class MySQL(DatabaseServer):
    """A MySQL server of our own."""

    title = "MySQL"
    program = installer = "usr/sbin/mysqld"
    install_options = ("--initialize-insecure",)
    # The X protocol would listen on a port of its own; Debian's default folder for files is not there.
    options = (
        "--innodb-redo-log-capacity=8M",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--disable-log-bin",
    )
    users = (
        "DROP USER IF EXISTS 'root'@'localhost';\n"
        "CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{password}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
    )


def is_installed(root: Path) -> bool:
    """Return whether a root folder, `/` for what is installed, holds a MariaDB server."""
    return all((root / program).exists() for program in (MariaDB.program, MariaDB.installer))
