"""Opens the database that a URL names.

SQLite is the embedded default. It has one writer at a time, so it gets one connection used by one thread; WAL lets
other processes read meanwhile, and `synchronous=FULL` makes a commit survive a power cut. MySQL and MariaDB are for
several processes at once; each of them has as many threads as connections.
"""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import URL, Engine, create_engine, event

from mailpact.database.mysql import CONNECTIONS, mysql_engine, mysql_migration_engine
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl

BUSY_MILLISECONDS = 5000
SQLITE_CONNECTIONS = 1


def open_database(url: DatabaseUrl, *, joins_statements: bool = False) -> Database:
    """Open the database; nothing is read or written yet. The caller closes it with `Database.close`.

    `joins_statements` lets a server take several statements in one packet; only work that builds such packets asks for
    it, because it would also let an injected statement run.
    """
    if url.is_sqlite:
        engine = _sqlite_engine(url)
        return Database(engine, _threads(SQLITE_CONNECTIONS), for_migrations=engine)
    for_migrations = mysql_migration_engine(url.url)
    engine = mysql_engine(url.url, joins_statements=joins_statements)
    return Database(engine, _threads(CONNECTIONS), for_migrations=for_migrations)


def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix="database")


def _sqlite_engine(url: DatabaseUrl) -> Engine:
    # Not from the text of the URL: in a file's name ? and % mean themselves.
    engine = create_engine(
        URL.create("sqlite", database=str(url.path)),
        pool_size=SQLITE_CONNECTIONS,
        max_overflow=0,
        hide_parameters=True,  # an error's text gets into logs, and addresses must not
    )
    _configure_sqlite(engine)
    return engine


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own; `on_begin` does
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: object) -> None:
        # IMMEDIATE takes the write lock at once: a transaction that first reads and then writes cannot fail halfway.
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]  # SQLAlchemy's event is untyped


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # When several processes open a new file at once, SQLite fails some of them here without waiting (measured).
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
