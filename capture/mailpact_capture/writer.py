"""The only thread that writes to the store. All mails that wait at the same time are stored in one commit.

    keep() -> queue -> [ all that waits: insert, prune, COMMIT with fsync ] -> the event loop is told once
                         meanwhile everything that arrives is the next group

A commit needs one fsync, for one mail as for fifty mails. During a commit, arriving mails wait for the next commit.
So the groups grow under load, and no mail waits for a timer. All other writes use the same queue.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mailpact_capture import tables
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.writes import Arrival

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], Any]
Group = list[tuple[Arrival, "asyncio.Future[None]"]]
Outcome = Any  # the result of the work, or an exception


class Settle(Protocol):
    """A function that the event loop calls with a group of mails and the outcome.

    The outcome is an error, or the result of `commit`.
    """

    def __call__(self, group: Group, outcome: Outcome, /) -> None:
        """Report the outcome to the callers that wait for these mails."""


class Writer:
    """One thread with one connection. Call the methods only from one event loop."""

    def __init__(self, commit: Callable[[sqlite3.Connection, list[Arrival]], Any], settle: Settle) -> None:
        self._commit = commit
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Arrival | Work | None, asyncio.Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self, path: Path, *, is_durable: bool) -> None:
        """Open or create the file; raise StoreFileError if it cannot be used as a store."""
        opened = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._serve, args=(path, is_durable, opened), name="capture-writes", daemon=True
        )
        self._thread.start()
        await opened

    async def close(self) -> None:
        """Return when all requested work is done and the file is closed."""
        closed = self._loop.create_future()
        self._queue.put((None, closed))
        await closed
        if self._thread is not None:
            self._thread.join()

    async def keep(self, arrival: Arrival) -> None:
        """Return when the mail is durably stored; raise StoreUnavailable if it cannot be stored."""
        stored: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((arrival, stored))
        await stored

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of the work; raise StoreUnavailable if SQLite fails."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, done))
        return await done

    def _serve(self, path: Path, is_durable: bool, opened: "asyncio.Future[None]") -> None:  # noqa: FBT001 (a thread's)
        try:
            connection = tables.connect(path, is_durable=is_durable)
        except Exception as error:  # noqa: BLE001 (the caller that opens the store gets the error)
            self._tell(opened, error)
            return
        self._connection = connection
        if is_durable:
            tables.lengthen_wal(connection)
        self._tell(opened, None)
        job, future = self._queue.get()
        while job is not None:
            if isinstance(job, Arrival):
                job, future = self._commit_all(connection, job, future)
            else:
                self._tell(future, _outcome(job, connection))
                job, future = self._queue.get()
        connection.close()
        self._tell(future, None)

    def _commit_all(
        self, connection: sqlite3.Connection, arrival: Arrival, stored: "asyncio.Future[None]"
    ) -> tuple[Arrival | Work | None, "asyncio.Future[Any]"]:
        """Commit a mail and all mails that follow in the queue; return the next other entry of the queue."""
        group, following = [(arrival, stored)], None
        while following is None:
            try:
                job, future = self._queue.get_nowait()
            except queue.Empty:
                break
            if isinstance(job, Arrival):
                group.append((job, future))
            else:
                following = job, future
        outcome = _outcome(lambda writing: self._commit(writing, [each for each, _ in group]), connection)
        self._loop.call_soon_threadsafe(self._settle, group, outcome)
        return following or self._queue.get()

    def _tell(self, future: "asyncio.Future[Any]", outcome: Outcome) -> None:
        self._loop.call_soon_threadsafe(settle, future, outcome)


def settle(future: "asyncio.Future[Any]", outcome: Outcome) -> None:
    """Set a future's result or exception, unless the future is already cancelled."""
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _outcome(work: Work, connection: sqlite3.Connection) -> Outcome:
    try:
        return work(connection)
    except sqlite3.Error as error:
        unavailable = StoreUnavailable(f"the mail store cannot be used now: {error}")
        unavailable.__cause__ = error
        return unavailable
    except Exception as error:  # noqa: BLE001 (the caller gets the error; the thread goes on)
        return error
