"""Runs whole transactions in threads, so that the event loop never waits for a disk.

A transaction is one plain function. It runs from BEGIN to COMMIT in one thread call: no await can stand between two
of its statements, and cancelling the caller does not stop it. So whoever is cancelled here does not know whether it
was committed, and has to look.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
)

T = TypeVar("T")


class DatabaseUnavailable(Exception):
    """The database cannot be used now (locked, full, gone, not a database); nothing of the transaction was kept."""


class Database:
    """The one door to the database."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as one transaction and give its result; it is committed unless `work` raises.

        Raises DatabaseUnavailable, SQLAlchemy's IntegrityError when a constraint is broken, and what `work` raises.
        One transaction runs at a time on SQLite; when cancelled before its turn, it never runs.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._transact, work)

    async def close(self) -> None:
        """Wait for the transactions that run, then close every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except (IntegrityError, ProgrammingError, DataError, NotSupportedError):
            raise  # these say what is wrong with `work`; asking again cannot help
        except (DatabaseError, InterfaceError) as error:
            name = self._engine.url.render_as_string(hide_password=True)
            raise DatabaseUnavailable(f"the database {name} cannot be used: {error.orig}") from error
