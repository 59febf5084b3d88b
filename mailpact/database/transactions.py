"""Runs whole transactions in threads, so that the event loop never waits for a disk or a server.

A transaction is one plain function. It runs from BEGIN to COMMIT in one thread call: no await stands between two of its
statements, and cancelling the caller does not stop the transaction. So a cancelled caller does not know whether the
transaction was committed, and has to look.

The server may undo a transaction because of a lock or a deadlock. The function then runs again, so it must do nothing
but use the database.

DatabaseUnavailable      cannot be used now (locked, full, gone, not a database); nothing was kept
├── DatabaseRefused      the server refuses the login, the database or a permission; an operator corrects it
└── CommitUnknown        the COMMIT was sent and not confirmed: everything was kept, or nothing
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Self, TypeVar, cast

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from mailpact.database.mysql import is_refused, misses_a_table, was_in_the_way

T = TypeVar("T")
# Errors of the work itself; another try cannot help.
_MISTAKES: Final = (IntegrityError, ProgrammingError, DataError, NotSupportedError)

PAUSES_SECONDS: Final = (0.02, 0.1, 0.5)  # before a transaction that the server undid runs again, at most
TURN_SECONDS: Final = 30
KEPT_SECONDS: Final = 30  # a connection that was idle for longer is tested before its next use
STALE_SECONDS: Final = 1.0  # so soon does a transaction fail on a connection that the server has closed

_AFTER: Final = "after the commit"  # a name in `Connection.info`
_TAKE_TURN: Final = text(
    "SELECT GET_LOCK(CONCAT('mailpact ', LEFT(SHA2(CONCAT(DATABASE(), ' ', :name), 256), 32)), :seconds)"
)
"""A lock's name may have 64 characters, and a database's alone may. (MySQL 9.7 has no MD5 any more.)"""


class DatabaseUnavailable(Exception):
    """The database cannot be used now, and nothing of the transaction was kept, unless it is a CommitUnknown."""


class DatabaseRefused(DatabaseUnavailable):
    """The server refuses access; the message quotes the server."""


class CommitUnknown(DatabaseUnavailable):
    """The COMMIT was not confirmed; the caller has to look whether the transaction was kept."""


class Database:
    """A database and the threads that use it. Statements on connections of `for_migrations` may take an hour.

    Connections are kept between transactions, because the pool would ping and roll back each time. A connection is
    given up after any error but a mistake in the work, a lock or a deadlock: on a server a connection keeps the rights
    that its user had at its start, so an old one could stay refused for ever (measured on MariaDB). A connection that
    was idle for a while goes back to the pool, which tests it before its next use.
    """

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor, *, for_migrations: Engine) -> None:
        self._engine = engine
        self._threads = threads
        self._for_migrations = for_migrations
        # With the time of the last use. Threads take the last and add at the end, each in one step.
        self._idle: list[tuple[Connection, float]] = []

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as one transaction and return its result; the transaction is committed unless `work` raises.

        On a server `work` may run up to four times, each time after the run before was undone. One transaction runs at
        a time on SQLite; if the caller is cancelled before its turn, the transaction never runs. Raises
        DatabaseUnavailable, SQLAlchemy's IntegrityError if a constraint is broken, and what `work` raises.
        """
        return await in_thread(self._threads, partial(self._transact, work))

    async def transact_alone(self, name: str, work: Callable[[Connection], T]) -> T:
        """Run `work` as one transaction while no other process runs a transaction of the same name.

        Raises DatabaseUnavailable if the others take longer than 30 seconds.
        """
        return await in_thread(self._threads, partial(self._alone, name, work))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for the transactions that run, then close every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        for connection, _ in self._idle:
            connection.close()
        self._engine.dispose()
        self._for_migrations.dispose()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with _foreign_errors(self._engine):
            for longest in PAUSES_SECONDS:
                try:
                    return self._run(work)
                except DBAPIError as error:
                    if not was_in_the_way(error):
                        raise
                time.sleep(random.uniform(0.0, longest))  # noqa: S311  # so that the two do not collide again
            return self._run(work)

    def _run(self, work: Callable[[Connection], T]) -> T:
        began = time.monotonic()
        connection = self._kept(began)
        if connection is not None:
            try:
                return self._run_on(connection, work)
            except DBAPIError as error:
                # The server had closed the connection before, and nothing of the transaction was kept.
                if not error.connection_invalidated or time.monotonic() - began > STALE_SECONDS:
                    raise
        return self._run_on(self._engine.connect(), work)

    def _kept(self, now: float) -> Connection | None:
        with suppress(IndexError):
            connection, used_at = self._idle.pop()
            if now - used_at <= KEPT_SECONDS:
                return connection
            connection.close()
        return None

    def _run_on(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        is_sound = True
        try:
            return _committed(connection, work)
        except DBAPIError as error:
            is_sound = was_in_the_way(error) or (isinstance(error, _MISTAKES) and not misses_a_table(error))
            raise
        except CommitUnknown:
            is_sound = False
            raise
        finally:
            if is_sound:
                self._idle.append((connection, time.monotonic()))
            else:
                if not connection.invalidated:
                    connection.invalidate()
                connection.close()

    def _alone(self, name: str, work: Callable[[Connection], T]) -> T:
        engine = self._for_migrations
        if engine.dialect.name == "sqlite":  # a transaction has the whole database to itself anyway
            return self._transact(work)
        with _foreign_errors(engine), engine.connect() as connection:
            # The server frees the name when the connection ends, even after a crash of this process.
            is_ours = connection.execute(_TAKE_TURN, {"name": name, "seconds": TURN_SECONDS}).scalar()
            connection.commit()
            if not is_ours:
                raise DatabaseUnavailable(
                    f"another process has been changing the tables of {_name(engine)} for {TURN_SECONDS} seconds;"
                    " start again when it is done"
                )
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


def after_commit(connection: Connection, act: Callable[[], object]) -> None:
    """Call `act` in this thread once the transaction is committed; never if it is undone. `act` must not raise."""
    connection.info[_AFTER].append(act)


def _committed(connection: Connection, work: Callable[[Connection], T]) -> T:
    acts = connection.info[_AFTER] = []
    with connection.begin() as transaction:
        result = work(connection)
        try:
            transaction.commit()
        except DBAPIError as error:
            if was_in_the_way(
                error
            ):  # a cluster finds a conflict only at the COMMIT, and undoes the transaction
                raise
            raise CommitUnknown(
                f"the database {_name(connection.engine)} did not confirm a transaction, which it may have kept:"
                f" {_reason(error)}"
            ) from error
    for act in acts:
        act()
    return result


def translated(error: Any, connection: Connection, cursor: Any) -> DBAPIError:
    """Return what SQLAlchemy raises for an error of the driver, and give the connection up if it is lost.

    Work that executes statements on the driver's own cursor raises the result.
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
