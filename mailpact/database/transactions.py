"""Runs whole transactions in threads, so that the event loop never waits for a disk or a server.

A transaction is one plain function. It runs from BEGIN to COMMIT in one thread call: no await can stand between two
of its statements, and cancelling the caller does not stop the transaction. So a caller that is cancelled does not know
whether the transaction was committed, and has to look.

If several transactions run at once, the server may end one of them because of a lock or a deadlock. Everything in it
was undone then, and the function runs again; so the function must do nothing but use the database.

A connection keeps some of the rights that its user had when the connection was opened. So a connection on which a
transaction failed is closed, unless the error says what is wrong with the transaction itself.

DatabaseUnavailable      cannot be used now; nothing was kept
├── DatabaseRefused      the server refuses the login, the database or a permission; an operator mends it
└── CommitUnknown        the COMMIT was sent and not confirmed: everything was kept, or nothing
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Self, TypeVar, cast

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from mailpact.database.mysql import is_refused, misses_a_table, was_in_the_way

T = TypeVar("T")
# They say what is wrong with the work itself; asking again cannot help.
_MISTAKES: Final = (IntegrityError, ProgrammingError, DataError, NotSupportedError)

PAUSES_SECONDS: Final = (0.02, 0.1, 0.5)
"""Before each further run of a transaction that was in another's way, at most."""

TURN_SECONDS: Final = 30
KEPT_SECONDS: Final = 30
"""A connection that was idle for longer is tested before it is used again."""
STALE_SECONDS: Final = 1.0
"""A transaction that failed within this time on a connection that the server had closed is run again."""

_AFTER: Final = "after the commit"  # a name in `Connection.info`
_TAKE_TURN: Final = text(
    "SELECT GET_LOCK(CONCAT('mailpact ', LEFT(SHA2(CONCAT(DATABASE(), ' ', :name), 256), 32)), :seconds)"
)
"""A lock's name may have 64 characters, and a database's alone may. (MySQL 9.7 has no MD5 any more.)"""


class DatabaseUnavailable(Exception):
    """The database cannot be used now (locked, full, gone, not a database).

    Nothing of the transaction was kept, unless it is a CommitUnknown.
    """


class DatabaseRefused(DatabaseUnavailable):
    """The server refuses the user, the password, the database or a permission; the message quotes the server."""


class CommitUnknown(DatabaseUnavailable):
    """The COMMIT was not confirmed, so the transaction may have been kept; the caller has to look."""


class Database:
    """A database and the threads that use it; statements on connections of `for_migrations` may take long."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor, *, for_migrations: Engine) -> None:
        self._engine = engine
        self._threads = threads
        self._for_migrations = for_migrations
        self._kept = _KeptConnections(engine)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as one transaction and return its result; the transaction is committed unless `work` raises.

        On a server `work` may be run up to four times, each time after the run before was undone. Raises
        DatabaseUnavailable, SQLAlchemy's IntegrityError if a constraint is broken, and what `work` raises. One
        transaction runs at a time on SQLite; if the caller is cancelled before its turn, the transaction never runs.
        """
        return await in_thread(self._threads, partial(self._transact, work))

    async def transact_alone(self, name: str, work: Callable[[Connection], T]) -> T:
        """Run `work` as one transaction while no other process runs one of the same name.

        The transaction waits up to 30 seconds for its turn; then this raises DatabaseUnavailable.
        """
        return await in_thread(self._threads, partial(self._alone, name, work))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for the transactions that run, then close every connection; leaving the `async with` does it."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        self._kept.close()
        self._engine.dispose()
        self._for_migrations.dispose()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with _foreign_errors(self._engine):
            for longest in PAUSES_SECONDS:
                try:
                    return self._kept.run(work)
                except DBAPIError as error:
                    if not was_in_the_way(error):
                        raise
                time.sleep(random.uniform(0.0, longest))  # noqa: S311  # only so that the two do not meet again
            return self._kept.run(work)

    def _alone(self, name: str, work: Callable[[Connection], T]) -> T:
        engine = self._for_migrations
        if engine.dialect.name == "sqlite":  # a transaction has the whole database to itself anyway
            return self._transact(work)
        with _foreign_errors(engine), engine.connect() as connection:
            _take_turn(connection, name)
            return _committed(connection, work)


async def in_thread(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run `work` in one of the threads and return its result; it never runs if the caller is cancelled before.

    `run_in_executor` of the event loop does the same, and takes twice the CPU time.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            end = partial(done.set_result, work())
        except BaseException as error:  # noqa: BLE001  # the caller raises it
            end = partial(done.set_exception, error)
        loop.call_soon_threadsafe(lambda: done.done() or end())

    turn = threads.submit(run)
    try:
        return await done
    finally:
        turn.cancel()


class _KeptConnections:
    """One connection for each thread, kept between its transactions: the pool would ping and roll back for each.

    A connection is given up after any error but a mistake in the work or a transaction in another's way: a server keeps
    the rights that a connection began with, so an old one could stay refused for ever (measured on MariaDB). One that
    was idle for a while goes back to the pool, which tests it before it is used again.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mine = threading.local()
        self._all: set[Connection] = set()

    def run(self, work: Callable[[Connection], T]) -> T:
        connection = self._kept()
        if connection is None:
            return self._run(self._open(), work)
        began = time.monotonic()
        try:
            return self._run(connection, work)
        except DBAPIError as error:
            # The server closed it meanwhile, and nothing of the transaction was kept: as if it had been tested first.
            if not error.connection_invalidated or time.monotonic() - began > STALE_SECONDS:
                raise
        return self._run(self._open(), work)

    def close(self) -> None:
        """Close every connection; the threads have ended."""
        for connection in self._all:
            connection.close()
        self._all.clear()

    def _run(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        try:
            return _committed(connection, work)
        except DBAPIError as error:
            if not was_in_the_way(error) and (not isinstance(error, _MISTAKES) or misses_a_table(error)):
                self._give_up(connection)
            raise
        except CommitUnknown:
            self._give_up(connection)
            raise
        finally:
            self._mine.used_at = time.monotonic()

    def _kept(self) -> Connection | None:
        connection: Connection | None = getattr(self._mine, "connection", None)
        if connection is not None and time.monotonic() - self._mine.used_at > KEPT_SECONDS:
            self._forget(connection)
            return None
        return connection

    def _open(self) -> Connection:
        connection = self._engine.connect()
        self._mine.connection = connection
        self._all.add(connection)
        return connection

    def _give_up(self, connection: Connection) -> None:
        if not connection.invalidated:
            connection.invalidate()
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._mine.connection = None
        self._all.discard(connection)
        connection.close()


def after_commit(connection: Connection, act: Callable[[], object]) -> None:
    """Call `act` in this thread once the transaction is committed; never if the transaction is undone."""
    connection.info[_AFTER].append(act)


def _committed(connection: Connection, work: Callable[[Connection], T]) -> T:
    acts = connection.info[_AFTER] = []
    with connection.begin() as transaction:
        result = work(connection)
        try:
            transaction.commit()
        except DBAPIError as error:
            if was_in_the_way(error):  # a cluster finds a conflict only now, and has undone the transaction
                raise
            raise CommitUnknown(
                f"the database {_name(connection.engine)} did not confirm a transaction, which it may have kept:"
                f" {_reason(error)}"
            ) from error
    for act in acts:
        act()
    return result


def _take_turn(connection: Connection, name: str) -> None:
    """Lock the name until the connection ends; the server then frees the name, even after a crash of this process."""
    is_ours = connection.execute(_TAKE_TURN, {"name": name, "seconds": TURN_SECONDS}).scalar()
    connection.commit()
    if not is_ours:
        raise DatabaseUnavailable(
            f"another process has been changing the tables of {_name(connection.engine)} for {TURN_SECONDS} seconds;"
            " start again when it is done"
        )


def translated(error: Any, connection: Connection, cursor: Any) -> DBAPIError:
    """Return what SQLAlchemy raises for an error of the driver, and give the connection up if it is lost.

    A room that executes statements on the driver's own cursor raises the result; the caller of `Database.transact`
    then gets the same errors as from SQLAlchemy.
    """
    dialect, driver = connection.dialect, cast(Any, connection.connection)
    is_lost = dialect.is_disconnect(error, driver, cursor)
    if is_lost:
        connection.invalidate()
    kind = dialect.loaded_dbapi.Error
    found = DBAPIError.instance(
        None, None, error, kind, hide_parameters=True, connection_invalidated=is_lost, dialect=dialect
    )
    return cast(DBAPIError, found)


@contextmanager
def _foreign_errors(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, _MISTAKES) and not misses_a_table(error):
            raise
        if is_refused(error):
            raise DatabaseRefused(f"the database {_name(engine)} refuses access: {_reason(error)}") from error
        raise DatabaseUnavailable(f"the database {_name(engine)} cannot be used: {_reason(error)}") from error


def _name(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _reason(error: DBAPIError) -> str:
    return ", ".join(map(str, error.orig.args)) if error.orig else str(error)
