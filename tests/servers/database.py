"""A MariaDB or MySQL server of our own, which tests may stop, kill and freeze, and databases on any server.

Every commit is on disk before the server answers, except where pytest asks MariaDB not to wait for the disk
(`unsynced`). The server's one user comes over TCP with a random password. MariaDB takes 0.6 s to install and 0.1 s to
start, MySQL 3 s and 0.6 s. An installed MySQL is not looked for: MySQL comes with a lane (`where`).
"""

import os
import secrets
from pathlib import Path

from tests.servers.packages import library_path
from tests.servers.run_folder import PrivateProcess, RunFolder, greeting

CONNECT_SECONDS = 10
USER = "mailpact"
# Run at every start, each statement on a line. The installation makes a root without a password.
USERS = """\
DROP USER IF EXISTS 'root'@'localhost';
CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'127.0.0.1' WITH GRANT OPTION;
"""


class Databases:
    """A server by its URL, `mysql+pymysql://USER:PASSWORD@HOST:PORT/`.

    The user must be allowed to create databases and to end other connections.
    """

    def __init__(self, server_url: str) -> None:
        from sqlalchemy import NullPool, create_engine  # takes long, and most processes need no database

        limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": CONNECT_SECONDS}
        self._engine = create_engine(
            server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=limits
        )

    def url(self, name: str) -> str:
        return self._engine.url.set(database=name).render_as_string(hide_password=False)

    def product(self) -> str:
        """Ask the server what it is, such as `MariaDB 10.11.19` or `MySQL 9.7.4`."""
        with self._engine.connect() as connection:
            version = str(connection.exec_driver_sql("SELECT VERSION()").scalar_one())
        return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.partition('-')[0]}"

    def create(self, name: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE `{name}`")

    def drop(self, name: str) -> None:
        """Drop a database; connections to it are ended first, because they may hold its tables."""
        self.kill_connections(name)
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS `{name}`")

    def copy_tables(self, source: str, name: str) -> None:
        """Copy all tables of a database, with their rows, into an empty one."""
        with self._engine.connect() as connection:
            for table in connection.exec_driver_sql(f"SHOW TABLES IN `{source}`").scalars().all():
                old, new = f"`{source}`.`{table}`", f"`{name}`.`{table}`"
                connection.exec_driver_sql(f"CREATE TABLE {new} LIKE {old}")
                connection.exec_driver_sql(f"INSERT INTO {new} SELECT * FROM {old}")

    def kill_connections(self, name: str) -> int:
        """End every connection to a database from the server's side; return how many there were."""
        query = f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(query).scalars().all()
            for number in found:
                connection.exec_driver_sql(f"KILL {number}")
        return len(found)


class DatabaseServer(PrivateProcess, Databases):
    """A server of our own, started on construction."""

    program: str  # below the root folder
    installer: str
    install_options: tuple[str, ...]
    options: tuple[str, ...]  # what only this product knows or needs to start
    unsynced: tuple[str, ...] = ()  # what makes this product write without waiting for the disk

    def __init__(self, run: RunFolder, root: Path, *, syncs: bool = True) -> None:
        self.port = run.reserve_port()
        self._root = root
        self._own = self.options if syncs else (*self.options, *self.unsynced)
        password = secrets.token_hex(12)
        PrivateProcess.__init__(self, run, run.folder("database"))
        Databases.__init__(self, f"mysql+pymysql://{USER}:{password}@127.0.0.1:{self.port}/")
        (self._folder / "tmp").mkdir()
        (self._folder / "users.sql").write_text(USERS.format(user=USER, password=password))
        self._run_program(self.installer, *self.install_options, log="install.log")
        if self.wait():
            raise ChildProcessError(f"{self.installer} failed:\n{self.log()[-2000:]}")
        self.start()

    def start(self, *options: str) -> None:
        """Start the server, again if it ran before: same port, same data. Returns when it answers (0.1-0.6 s)."""
        self._run_program(
            self.program,
            *(f"--port={self.port}", "--bind-address=127.0.0.1", "--socket=socket", "--pid-file=pid"),
            *("--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--performance-schema=OFF"),
            *(f"--init-file={self._folder}/users.sql", f"--plugin-dir={self._root}/usr/lib/mysql/plugin"),
            *("--character-set-server=utf8mb4", *options),
            log="server.log",
        )
        # A server that is ready greets whoever connects.
        self.wait_until("the database answers", lambda: bool(greeting(self.port)))

    def recover(self) -> None:
        if not self.is_running:
            self.start()
        self.thaw()

    def _run_program(self, program: str, *options: str, log: str) -> None:
        usual = [
            "--no-defaults",
            f"--basedir={self._root}/usr",
            f"--lc-messages-dir={self._root}/usr/share/mysql",
        ]
        usual += [f"--datadir={self._folder}/data", f"--tmpdir={self._folder}/tmp"]
        if os.geteuid() == 0:  # root's server would otherwise look for a system user
            usual.append("--user=root")
        words = [f"{self._root}/{program}", *usual, *self._own, *options]
        self.begin(words, {"HOME": str(self._folder), **library_path(self._root)}, log)


class MariaDB(DatabaseServer):
    """A MariaDB server of our own."""

    program = "usr/sbin/mariadbd"
    installer = "usr/bin/mariadb-install-db"
    install_options = ("--skip-test-db",)
    options = ("--innodb-log-file-size=16M",)
    # A killed server loses nothing by this, only a machine without power would. It saves a third of making tables.
    unsynced = ("--loose-innodb-flush-method=nosync", "--loose-debug-no-sync", "--loose-skip-sync-frm")


class MySQL(DatabaseServer):
    """A MySQL server of our own."""

    program = installer = "usr/sbin/mysqld"
    install_options = ("--initialize-insecure",)
    # The X protocol would listen on a port of its own; Debian's default folder for files is not there.
    options = (
        "--innodb-redo-log-capacity=8M",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--disable-log-bin",
    )
