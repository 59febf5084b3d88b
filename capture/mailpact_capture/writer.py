"""The thread that writes to the store. All mails that wait at the same time are stored in one commit.

    keep() -> queue -> [ all that waits: insert, prune, COMMIT with fsync ] -> the event loop is told once
                         meanwhile everything that arrives is the next group

A commit needs one fsync, for one mail as for fifty mails. During a commit, arriving mails wait for the next commit.
So the groups grow under load, and no mail waits for a timer. All other writes use the same queue.

A lone mail is committed by the event loop itself: nothing could be stored together with it, and to wake the thread
and then the loop takes longer than SQLite needs for a small mail. The loop does so only if the thread is idle (so
the connection is never used by both), if the commit before was quick (on a slow disk the loop must serve others),
and if no other process has written to the file or holds its lock.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from mailpact_capture import tables
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.writes import Arrival

QUICK_SECONDS: Final = 0.003

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
    """One thread and one connection. Call the methods only from one event loop."""

    def __init__(
        self,
        commit: Callable[[sqlite3.Connection, list[Arrival]], Any],
        settle: Settle,
        is_changed: Callable[[sqlite3.Connection], bool],
    ) -> None:
        """`is_changed` says whether another process wrote to the file, so that a commit can take long."""
        self._commit = commit
        self._is_changed = is_changed
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Arrival | Work | None, asyncio.Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._queued = 0  # jobs that the thread has not finished
        self._is_quick = False  # whether the last commit was
        self._lock_seconds = tables.BUSY_SECONDS

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
        self._put(None, closed)
        await closed
        if self._thread is not None:
            self._thread.join()

    async def keep(self, arrival: Arrival, *, is_alone: bool = False) -> None:
        """Return when the mail is durably stored; raise StoreUnavailable if it cannot be stored.

        `is_alone` says that no other mail is expected during the commit.
        """
        stored: asyncio.Future[None] = self._loop.create_future()
        if is_alone and self._is_quick and not self._queued and self._commit_here(arrival, stored):
            await asyncio.sleep(0)  # others must be served if one client sends its mails without a pause
        else:
            self._put(arrival, stored)
        await stored

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of the work; raise StoreUnavailable if SQLite fails."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._put(work, done)
        return await done

    def _put(self, job: Arrival | Work | None, future: "asyncio.Future[Any]") -> None:
        self._queued += 1
        self._queue.put((job, future))

    def _commit_here(self, arrival: Arrival, stored: "asyncio.Future[None]") -> bool:
        """Commit a lone mail in the event loop; return False if another process uses the file."""
        assert self._connection is not None  # noqa: S101 (the thread has opened it before its first commit)
        if _outcome(self._is_changed, self._connection):  # also if the file cannot be asked
            return False
        self._wait_for_lock(self._connection, 0)
        outcome = self._commit_group(self._connection, [(arrival, stored)])
        if isinstance(outcome, StoreUnavailable) and tables.is_locked(outcome.__cause__):
            return False
        self._settle([(arrival, stored)], outcome)
        return True

    def _wait_for_lock(self, connection: sqlite3.Connection, seconds: int) -> None:
        if self._lock_seconds != seconds:
            tables.wait_for_lock(connection, seconds=seconds)
            self._lock_seconds = seconds

    def _commit_group(self, connection: sqlite3.Connection, group: Group) -> Outcome:
        began = time.perf_counter()
        outcome = _outcome(lambda writing: self._commit(writing, [each for each, _ in group]), connection)
        self._is_quick = time.perf_counter() - began < QUICK_SECONDS
        return outcome

    def _serve(self, path: Path, is_durable: bool, opened: "asyncio.Future[None]") -> None:  # noqa: FBT001 (a thread's)
        try:
            connection = tables.connect(path, is_durable=is_durable)
        except Exception as error:  # noqa: BLE001 (the caller that opens the store gets the error)
            self._loop.call_soon_threadsafe(settle, opened, error)
            return
        self._connection = connection
        self._loop.call_soon_threadsafe(settle, opened, None)
        if is_durable:
            tables.lengthen_wal(connection)
        job, future = self._queue.get()
        while job is not None:
            self._wait_for_lock(connection, tables.BUSY_SECONDS)
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
        outcome = self._commit_group(connection, group)
        self._loop.call_soon_threadsafe(self._answer_group, group, outcome)
        return following or self._queue.get()

    def _tell(self, future: "asyncio.Future[Any]", outcome: Outcome) -> None:
        self._loop.call_soon_threadsafe(self._answer, future, outcome)

    def _answer(self, future: "asyncio.Future[Any]", outcome: Outcome) -> None:
        self._queued -= 1
        settle(future, outcome)

    def _answer_group(self, group: Group, outcome: Outcome) -> None:
        self._queued -= len(group)
        self._settle(group, outcome)


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
