"""Opens the database that a URL names.

SQLite is the embedded default. SQLite allows one writer at a time, so there is one connection, used by one thread; WAL
lets other processes read meanwhile, and with `synchronous=FULL` a commit survives a power failure. MySQL and MariaDB
serve several processes; each process has as many threads as connections.
"""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import URL, Engine, create_engine, event

from mailpact.database.mysql import CONNECTIONS, mysql_engine
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl

BUSY_MILLISECONDS = 5000


def open_database(url: DatabaseUrl, *, joins_statements: bool = False) -> Database:
    """Return the database, not yet connected; the caller closes it.

    With `joins_statements` a server accepts several statements in one packet. This would also let an injected statement
    run, so only work that builds such packets may ask for it.
    """
    if url.is_sqlite:
        engine, count = _sqlite_engine(url), 1
    else:
        engine, count = mysql_engine(url.url, joins_statements=joins_statements), CONNECTIONS
    for_migrations = engine if url.is_sqlite else mysql_engine(url.url, for_migrations=True)
    return Database(engine, ThreadPoolExecutor(count, "database"), for_migrations=for_migrations)


def _sqlite_engine(url: DatabaseUrl) -> Engine:
    # Not from the text of the URL, where ? and % of a file name would have a meaning.
    engine = create_engine(
        URL.create("sqlite", database=str(url.path)),
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,  # an error's text gets into logs, and addresses must not
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # `on_begin` begins the transactions, not the driver
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: object) -> None:
        # IMMEDIATE takes the write lock at once, so that no transaction fails between its reads and its writes.
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]  # SQLAlchemy's event is untyped

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # When several processes open a new file at the same time, SQLite does not wait here, but fails (measured).
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
