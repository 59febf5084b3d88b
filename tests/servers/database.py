"""A MariaDB or MySQL server of our own, which tests may stop, kill and freeze, and databases on any server.

Every commit is on disk before the server answers, except where pytest asks the server not to wait for the disk
(`UNSYNCED`). The server has one user, who logs in over TCP with the run's password. MariaDB takes 0.6 s to install and
0.1 s to start, MySQL 3 s and 0.6 s. An installed MySQL is never used: only a lane can choose MySQL (`where`).
"""

import os
from pathlib import Path

from tests.servers.packages import library_path
from tests.servers.run_folder import PrivateProcess, RunFolder, greeting

CONNECT_SECONDS = 10
USER = "mailpact"
# These run at every start, one statement per line. The installation makes a user root without a password.
USERS = """\
DROP USER IF EXISTS 'root'@'localhost';
CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'127.0.0.1' WITH GRANT OPTION;
"""
MARIADB, MARIADB_INSTALLER, MYSQL = "usr/sbin/mariadbd", "usr/bin/mariadb-install-db", "usr/sbin/mysqld"
# A product ignores a `loose` option that it does not know. MySQL's X protocol would listen on a port of its own.
OPTIONS = (
    *("--skip-name-resolve", "--performance-schema=OFF", "--character-set-server=utf8mb4"),
    *(
        "--innodb-buffer-pool-size=32M",
        "--loose-innodb-log-file-size=16M",
        "--loose-innodb-redo-log-capacity=8M",
    ),
    *("--skip-log-bin", "--loose-mysqlx=OFF"),
)
# Only a power cut could lose data because of these options, a kill cannot. Tables are made in a third less time.
UNSYNCED = ("--loose-innodb-flush-method=nosync", "--loose-debug-no-sync", "--loose-skip-sync-frm")


class Databases:
    """The databases of a server, whose URL is `mysql+pymysql://USER:PASSWORD@HOST:PORT/`.

    The user must be allowed to create databases and to end other connections.
    """

    def __init__(self, server_url: str) -> None:
        from sqlalchemy import NullPool, create_engine  # slow to import, and most processes need no database

        limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": CONNECT_SECONDS}
        self._engine = create_engine(
            server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=limits
        )

    def url(self, name: str) -> str:
        return self._engine.url.set(database=name).render_as_string(hide_password=False)

    def execute(self, *statements: str) -> list[str]:
        """Run statements over one connection; return the first column of the last statement's rows."""
        with self._engine.connect() as connection:
            results = [connection.exec_driver_sql(statement) for statement in statements]
            return [str(row[0]) for row in results[-1]] if results and results[-1].returns_rows else []

    def product(self) -> str:
        """Ask the server what it is, such as `MariaDB 10.11.19` or `MySQL 9.7.4`."""
        (version,) = self.execute("SELECT VERSION()")
        return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.partition('-')[0]}"

    def create(self, name: str) -> None:
        self.execute(f"CREATE DATABASE `{name}`")

    def drop(self, name: str) -> None:
        """Close every connection to a database, because connections can lock its tables, and drop the database."""
        self.kill_connections(name)
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def copy_tables(self, source: str, name: str) -> None:
        """Copy all tables of a database, with their rows, into an empty one."""
        for table in self.execute(f"SHOW TABLES IN `{source}`"):
            old, new = f"`{source}`.`{table}`", f"`{name}`.`{table}`"
            self.execute(f"CREATE TABLE {new} LIKE {old}", f"INSERT INTO {new} SELECT * FROM {old}")

    def kill_connections(self, name: str) -> int:
        """End every connection to a database from the server's side; return how many there were."""
        found = self.execute(f"SELECT id FROM information_schema.processlist WHERE db = '{name}'")
        self.execute(*(f"KILL {number}" for number in found))
        return len(found)


class DatabaseServer(PrivateProcess, Databases):
    """A server of our own, which the constructor starts; the root folder holds the programs of MariaDB or of MySQL."""

    def __init__(self, run: RunFolder, root: Path, *, syncs: bool = True) -> None:
        self.port = run.reserve_port()
        PrivateProcess.__init__(self, run, "database")
        Databases.__init__(self, f"mysql+pymysql://{USER}:{run.password}@127.0.0.1:{self.port}/")
        (self._folder / "tmp").mkdir()
        (self._folder / "users.sql").write_text(USERS.format(user=USER, password=run.password))
        self.root = root
        is_mariadb = (root / MARIADB).exists()
        self._program = MARIADB if is_mariadb else MYSQL
        install = (MARIADB_INSTALLER, "--skip-test-db") if is_mariadb else (MYSQL, "--initialize-insecure")
        self._variables = {"HOME": str(self._folder), **library_path(root)}
        self._options = [
            *(f"--basedir={root}/usr", f"--lc-messages-dir={root}/usr/share/mysql"),
            *(f"--plugin-dir={root}/usr/lib/mysql/plugin", f"--datadir={self._folder}/data"),
            *(f"--tmpdir={self._folder}/tmp", f"--secure-file-priv={self._folder}/tmp", *OPTIONS),
            *(() if syncs else UNSYNCED),
        ]
        if os.geteuid() == 0:  # without this option, a server that root starts needs a system user
            self._options.append("--user=root")
        run.call(self._words(*install), self._variables)
        self.start()

    def start(self, *options: str) -> None:
        """Start the server, also again, with the same port and data; wait for its answer (0.1-0.6 s)."""
        own = (f"--port={self.port}", "--bind-address=127.0.0.1", "--socket=socket", "--pid-file=pid")
        words = self._words(self._program, *own, f"--init-file={self._folder}/users.sql", *options)
        self.begin(words, self._variables)
        # A server that is ready sends a greeting on each new connection.
        self.wait_until("the database answers", lambda: bool(greeting(self.port)))

    def recover(self) -> None:
        if not self.is_running:
            self.start()
        self.thaw()

    def _words(self, program: str, *options: str) -> list[str]:
        return [f"{self.root}/{program}", "--no-defaults", *self._options, *options]
