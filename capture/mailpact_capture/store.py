"""The store of mails: one SQLite file, one thread that writes (`writer.py`), and several threads that read.

`keep` returns when the mail is on the disk. Only then the server answers 250. Each reading thread has its own
connection. SQLite's WAL lets them read during a commit.
"""

import asyncio
import queue
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import structlog

from mailpact_capture import reads, tables, writes
from mailpact_capture.envelope import Scopes, scopes_of
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.feed import Feed
from mailpact_capture.limits import MAX_PAGE
from mailpact_capture.records import SUMMARY_COLUMNS, Page, StoredMail, Summary
from mailpact_capture.search import EVERYTHING, Condition, Query
from mailpact_capture.writer import Group, Outcome, Writer, settle
from mailpact_capture.writes import Arrival, Kept, Limit

P = ParamSpec("P")
T = TypeVar("T")

READERS: Final = 2
READ_AT_ONCE_BYTES: Final = (
    16 * 1024
)  # a larger mail is parsed by the writing thread, so the event loop stays free for other clients
_TOLD_COLUMNS: Final = tuple(SUMMARY_COLUMNS.split(", "))

log = structlog.get_logger()


class Store:
    """The mails of one file. Its methods may be called from one event loop; `opened` makes it."""

    def __init__(self, readers: "_Readers", feed: Feed, limit: Limit, tell: Callable[[str], None]) -> None:
        self.feed = feed
        self.deleted = 0
        self.accepted = 0
        self.accepted_bytes = 0
        self._writer = Writer(self._commit, self._settle)
        self._readers = readers
        self._limit = limit
        self._tell = tell
        self._kept = Kept()
        self._is_failing = False

    async def open(self, path: Path, *, is_durable: bool) -> None:
        """Open the file; raise StoreFileError if it cannot be a store."""
        await self._writer.open(path, is_durable=is_durable)

    async def close(self) -> None:
        """Finish all requested work, and close the file."""
        await self._writer.close()

    async def keep(self, arrival: Arrival) -> None:
        """Return when the mail is durably stored; raise StoreUnavailable if it cannot be stored."""
        if len(arrival.raw) <= READ_AT_ONCE_BYTES:
            arrival.row()
        await self._writer.keep(arrival)

    def _settle(self, group: Group, outcome: Outcome) -> None:
        """Wake the conversations that wait for these mails.

        Then publish the events, so that no reply 250 waits for the events.
        """
        error = outcome if isinstance(outcome, BaseException) else None
        for _, stored in group:
            settle(stored, error)
        if error is None:
            asyncio.get_running_loop().call_soon(self._publish, [each for each, _ in group], outcome)
        elif isinstance(error, StoreUnavailable):
            self._note_failure(error)

    def _publish(self, arrivals: list[Arrival], pruned: int) -> None:
        self._note_success()
        for arrival in arrivals:
            row = arrival.row()
            told = {column: row[column] for column in _TOLD_COLUMNS}
            self.feed.publish("new", told, scopes_of(arrival.namespaces()))
            self._tell(row["message_id"])
            self.accepted += 1
            self.accepted_bytes += len(arrival.raw)
        if pruned:
            self.deleted += pruned
            self.feed.publish("prune")

    async def page(self, query: Query, *, start: int, limit: int, namespace: str | None = None) -> Page:
        """Return a page of the mails that the query finds, newest first."""
        return await self._read(reads.page, query, namespace, start, min(limit, MAX_PAGE))

    async def summary(
        self, public_id: str, *, namespace: str | None = None, query: Query = EVERYTHING
    ) -> Summary | None:
        """Return a mail's summary by its public ID (`latest`: the newest that the query finds).

        None if there is none.
        """
        return await self._read(reads.summary, public_id, namespace, query)

    async def raw(
        self, public_id: str, *, namespace: str | None = None, query: Query = EVERYTHING
    ) -> tuple[Summary, bytes] | None:
        """Return a mail's summary and its unparsed bytes; None if there is no such mail."""
        return await self._read(reads.raw, public_id, namespace, query)

    async def mail(
        self, public_id: str, *, namespace: str | None = None, query: Query = EVERYTHING
    ) -> StoredMail | None:
        """Return a parsed mail; None if there is no such mail."""
        return await self._read(reads.mail, public_id, namespace, query)

    async def arrived(
        self, query: Query, *, after: int, limit: int, namespace: str | None
    ) -> tuple[list[str], int]:
        """Return the public IDs of mails after a cursor that the query finds, oldest first, and the newest cursor."""
        return await self._read(reads.arrived, query, namespace, after, limit)

    async def ask(
        self, question: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run one of the queries of reads.py in a reading thread, and return its result."""
        return await self._read(question, *args, **kwargs)

    async def see(self, summary: Summary) -> None:
        """Mark a mail as read, if the store can be written now. A full disk must not prevent reading."""
        if not summary.is_read:
            try:
                await self.mark(Condition("id = ?", (summary.row_id,)), read=True)
            except StoreUnavailable as error:
                self._note_failure(error)

    async def mark(self, query: Query, *, read: bool, namespace: str | None = None) -> None:
        """Mark the mails that the query finds as read or unread."""
        for public_id, namespaces in await self._write(
            lambda connection: writes.mark(connection, query, namespace, read=read)
        ):
            self.feed.publish("update", {"ID": public_id, "Read": read}, scopes_of(namespaces))

    async def retag(
        self, query: Query, change: Callable[[Sequence[str]], Sequence[str]], *, namespace: str | None = None
    ) -> None:
        """Change the tags of the mails that the query finds."""
        for public_id, tags, namespaces in await self._write(writes.retag, query, namespace, change):
            self.feed.publish("update", {"ID": public_id, "Tags": list(tags)}, scopes_of(namespaces))

    async def delete(self, query: Query, *, namespace: str | None = None) -> None:
        """Delete the mails that the query finds."""
        gone = await self._write(self._delete, query, namespace)
        self.deleted += len(gone)
        if query == EVERYTHING:
            self.feed.publish("truncate", None, None if namespace is None else (namespace,))
            if namespace is None:
                return
            gone = [
                (public_id, tuple(each for each in scopes if each != namespace)) for public_id, scopes in gone
            ]
        for public_id, scopes in gone[-200:]:  # Mailpit sends as many events
            if scopes:
                self.feed.publish("delete", {"ID": public_id}, scopes)

    async def check(self) -> None:
        """Raise StoreUnavailable if the file cannot be read, or if a mail of the usual size cannot be written."""
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

    def _commit(self, connection: sqlite3.Connection, arrivals: list[Arrival]) -> int:
        """Store mails in one transaction, and return how many old ones it deleted."""
        for arrival in arrivals:
            # before the transaction, because another process may wait for the transaction to end
            arrival.row()
        try:
            with writes.transaction(connection):
                writes.recount(connection, self._kept)
                writes.insert(connection, arrivals, self._kept)
                return writes.prune(connection, self._limit, self._kept)
        except BaseException:
            self._kept.version = -1  # nothing was stored, and the next commit counts again
            raise

    def _delete(
        self, connection: sqlite3.Connection, query: Query, namespace: str | None
    ) -> list[tuple[str, Scopes]]:
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
    """Commit as many bytes as a small mail has, and delete them. A full disk or quota makes this fail."""
    connection.execute("INSERT INTO room VALUES (zeroblob(65536))")
    connection.execute("DELETE FROM room")
    connection.execute(
        "PRAGMA incremental_vacuum(20)"
    ).fetchall()  # otherwise the next try would only reuse these pages


class _Readers:
    """Threads that read, as many as there are connections."""

    def __init__(self, worker: ThreadPoolExecutor) -> None:
        self._worker = worker
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()

    def open(self, path: Path) -> None:
        """Open a connection for each thread."""
        for _ in range(READERS):
            self._free.put(tables.connect_to_read(path))

    def close(self) -> None:
        """Close the connections, which nobody uses any more."""
        while not self._free.empty():
            self._free.get().close()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of the work; raise StoreUnavailable if SQLite fails."""

        def on_a_free_one() -> T:
            connection = self._free.get()
            try:
                return work(connection)
            finally:
                self._free.put(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, on_a_free_one)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the mail store cannot be used now: {error}") from error


@asynccontextmanager
async def opened(
    path: Path, *, feed: Feed, limit: Limit, tell: Callable[[str], None], is_durable: bool = True
) -> AsyncIterator[Store]:
    """Open or create the store in `path`, and close it at the end; raise StoreFileError if the file cannot be used.

    `tell` is called with each stored mail's Message-ID, after the commit. If `is_durable` is False, no fsync is made
    (for a file that nobody opens again).
    """
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="capture-reads") as reader:
        readers = _Readers(reader)
        store = Store(readers, feed, limit, tell)
        await store.open(path, is_durable=is_durable)
        try:
            readers.open(path)
            yield store
        finally:
            reader.shutdown()
            readers.close()
            await store.close()
