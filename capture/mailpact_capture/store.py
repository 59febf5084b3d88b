"""Mails on the disk: one SQLite file, one thread that writes, commits in groups, and threads of their own that read.

    keep() -> waiting -> [ one group: parse, insert, prune, COMMIT with fsync ] -> kept() returns
                          meanwhile everything that arrives is the next group

A commit costs an fsync, whether it holds one mail or fifty. While one runs, the mails that arrive wait for the
next, so under load the groups grow by themselves and nobody waits for a timer. `keep` returns when its mail is on
the disk: that, and nothing earlier, is what 250 means. Each reader has a connection of its own: SQLite's WAL lets them
read while a commit runs.
"""

import asyncio
import queue
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import structlog

from mailpact_capture import reads, tables, writes
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.feed import Feed
from mailpact_capture.limits import MAX_PAGE
from mailpact_capture.mail import parse
from mailpact_capture.records import SUMMARY_COLUMNS, Page, StoredMail, Summary
from mailpact_capture.search import EVERYTHING, MAX_SEARCHED_BYTES, Condition, Query
from mailpact_capture.writes import Arrival, Kept, Limit

P = ParamSpec("P")
T = TypeVar("T")

READERS: Final = 2
_TOLD_COLUMNS: Final = tuple(SUMMARY_COLUMNS.split(", "))

log = structlog.get_logger()


class Store:
    """The mails of one file. Its methods may be called from one event loop; `opened` makes it."""

    def __init__(self, writer: "_Thread", readers: "_Readers", feed: Feed, limit: Limit) -> None:
        self.feed = feed
        self.deleted = 0
        self.accepted = 0
        self.accepted_bytes = 0
        self._writer = writer
        self._readers = readers
        self._limit = limit
        self._kept = Kept()
        self._waiting: list[tuple[Arrival, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()
        self._is_failing = False

    async def keep(self, arrival: Arrival) -> None:
        """Return when the mail is durably stored; raise StoreUnavailable when it is not."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, stored))
        self._arrived.set()
        await stored

    async def commit_groups(self, tell: Callable[[str], None]) -> None:
        """Store what arrives, for ever; call `tell` with each stored mail's Message-ID, after its commit."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            group, self._waiting = self._waiting, []
            try:
                rows, pruned = await self._write(self._commit, [arrival for arrival, _ in group])
            except StoreUnavailable as error:
                self._note_failure(error)
                _settle(group, error)
                continue
            self._note_success()
            for (arrival, _), row in zip(group, rows, strict=True):
                told = {column: row[column] for column in _TOLD_COLUMNS}
                self.feed.publish("new", told, arrival.envelope.namespaces())
                tell(str(row["message_id"]))
                self.accepted += 1
                self.accepted_bytes += len(arrival.raw)
            if pruned:
                self.deleted += pruned
                self.feed.publish("prune")
            _settle(group, None)

    async def page(self, query: Query, *, start: int, limit: int, namespace: str | None = None) -> Page:
        """Return a part of what the query finds, newest first."""
        return await self._read(reads.page, query, namespace, start, min(limit, MAX_PAGE))

    async def summary(
        self, public_id: str, *, namespace: str | None = None, query: Query = EVERYTHING
    ) -> Summary | None:
        """Return a mail's summary by its public ID (`latest`: the newest that the query finds); None without a mail."""
        return await self._read(reads.summary, public_id, namespace, query)

    async def raw(
        self, public_id: str, *, namespace: str | None = None, query: Query = EVERYTHING
    ) -> tuple[Summary, bytes] | None:
        """Return a mail's summary and bytes, which are not parsed; None without a mail."""
        return await self._read(reads.raw, public_id, namespace, query)

    async def mail(
        self, public_id: str, *, namespace: str | None = None, query: Query = EVERYTHING
    ) -> StoredMail | None:
        """Return a mail, parsed; None without a mail."""
        return await self._read(reads.mail, public_id, namespace, query)

    async def arrived(
        self, query: Query, *, after: int, limit: int, namespace: str | None
    ) -> tuple[list[str], int]:
        """Return the public IDs of mails after a cursor that the query finds, oldest first, and the newest cursor."""
        return await self._read(reads.arrived, query, namespace, after, limit)

    async def ask(
        self, question: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return the answer to one of the questions of reads.py."""
        return await self._read(question, *args, **kwargs)

    async def see(self, summary: Summary) -> None:
        """Mark a mail as read, if that can be written now: a full disk must not stop anybody from reading."""
        if not summary.is_read:
            try:
                await self.mark(Condition("id = ?", (summary.row_id,)), read=True)
            except StoreUnavailable as error:
                self._note_failure(error)

    async def mark(self, query: Query, *, read: bool, namespace: str | None = None) -> None:
        """Mark what the query finds as read or unread."""
        for public_id in await self._write(
            lambda connection: writes.mark(connection, query, namespace, read=read)
        ):
            self.feed.publish("update", {"ID": public_id, "Read": read})

    async def retag(
        self, query: Query, change: Callable[[Sequence[str]], Sequence[str]], *, namespace: str | None = None
    ) -> None:
        """Change the tags of what the query finds."""
        for public_id, tags in await self._write(writes.retag, query, namespace, change):
            self.feed.publish("update", {"ID": public_id, "Tags": list(tags)})

    async def delete(self, query: Query, *, namespace: str | None = None) -> None:
        """Delete what the query finds."""
        gone = await self._write(self._delete, query, namespace)
        self.deleted += len(gone)
        if query == EVERYTHING:
            self.feed.publish("truncate", None, None if namespace is None else (namespace,))
            return
        for public_id, namespaces in gone[-200:]:  # as many as Mailpit tells
            self.feed.publish("delete", {"ID": public_id}, namespaces)

    async def check(self) -> None:
        """Raise StoreUnavailable if the file cannot be read, or if it could not take a mail of the usual size."""
        await self._read(lambda connection: connection.execute("SELECT 1 FROM mail LIMIT 1").fetchone())
        await self._write(_try_to_write)

    async def _read(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._readers.run(lambda connection: work(connection, *args, **kwargs))

    async def _write(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._writer.run(lambda connection: work(connection, *args, **kwargs))

    def _commit(
        self, connection: sqlite3.Connection, arrivals: list[Arrival]
    ) -> tuple[list[dict[str, Any]], int]:
        parsed = [(arrival, parse(arrival.raw, text_limit=2 * MAX_SEARCHED_BYTES)) for arrival in arrivals]
        writes.recount(connection, self._kept)
        before = (self._kept.mails, self._kept.bytes)
        try:
            with writes.transaction(connection):
                rows = [writes.insert(connection, arrival, mail) for arrival, mail in parsed]
                self._kept.mails += len(arrivals)
                self._kept.bytes += sum(len(arrival.raw) for arrival in arrivals)
                pruned = writes.prune(connection, self._limit, self._kept)
        except BaseException:
            self._kept.mails, self._kept.bytes = before
            raise
        return rows, pruned

    def _delete(
        self, connection: sqlite3.Connection, query: Query, namespace: str | None
    ) -> list[tuple[str, tuple[str, ...] | None]]:
        writes.recount(connection, self._kept)
        return writes.delete(connection, query, namespace, self._kept)

    def _note_failure(self, error: StoreUnavailable) -> None:
        if not self._is_failing:
            log.error("the mail store cannot be written: mail is refused", error=str(error))
        self._is_failing = True

    def _note_success(self) -> None:
        if self._is_failing:
            log.warning("mail is stored again")
        self._is_failing = False


def _try_to_write(connection: sqlite3.Connection) -> None:
    """Commit as many bytes as a small mail has and delete them: a full disk or quota shows itself here."""
    connection.execute("INSERT INTO room VALUES (zeroblob(65536))")
    connection.execute("DELETE FROM room")
    connection.execute(
        "PRAGMA incremental_vacuum(20)"
    ).fetchall()  # or the next try would only use these pages again


def _settle(group: list[tuple[Arrival, asyncio.Future[None]]], error: StoreUnavailable | None) -> None:
    for _, stored in group:
        if stored.done():
            continue  # the client has gone; what it sent is stored all the same
        if error:
            stored.set_exception(error)
        else:
            stored.set_result(None)


class _Thread:
    """One thread with one connection."""

    def __init__(self, worker: ThreadPoolExecutor, connection: sqlite3.Connection) -> None:
        self._worker = worker
        self._connection = connection

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the work gives; raise StoreUnavailable where SQLite fails."""
        return await _run(self._worker, lambda: work(self._connection))


class _Readers:
    """Threads that read, as many as there are connections."""

    def __init__(self, worker: ThreadPoolExecutor, connections: list[sqlite3.Connection]) -> None:
        self._worker = worker
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in connections:
            self._free.put(connection)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the work gives; raise StoreUnavailable where SQLite fails."""

        def on_a_free_one() -> T:
            connection = self._free.get()
            try:
                return work(connection)
            finally:
                self._free.put(connection)

        return await _run(self._worker, on_a_free_one)


async def _run(worker: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(worker, work)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the mail store cannot be used now: {error}") from error


@asynccontextmanager
async def opened(path: Path, *, feed: Feed, limit: Limit) -> AsyncIterator[Store]:
    """Open the store in `path` or make it, and close it at the end; raise StoreFileError if the file cannot be one."""
    loop = asyncio.get_running_loop()
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="capture-writes") as writer,
        ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="capture-reads") as reader,
    ):
        connection = await loop.run_in_executor(writer, tables.connect, path)
        connections = [tables.connect_to_read(path) for _ in range(READERS)]
        try:
            yield Store(_Thread(writer, connection), _Readers(reader, connections), feed, limit)
        finally:
            reader.shutdown()
            for each in connections:
                each.close()
            await loop.run_in_executor(writer, connection.close)
