"""Mails on the disk: one SQLite file, one thread that touches it, and commits in groups.

    keep() -> waiting -> [ one group: parse, insert, COMMIT with fsync ] -> kept() returns
                          meanwhile everything that arrives is the next group

A commit costs an fsync, whether it holds one mail or fifty. While one runs, the mails that arrive wait for the
next, so under load the groups grow by themselves and nobody waits for a timer. `keep` returns when its mail is on
the disk: that, and nothing earlier, is what 250 means.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import structlog

from mailpact_capture import tables
from mailpact_capture.errors import StoreUnavailable
from mailpact_capture.mail import parse
from mailpact_capture.records import SUMMARY_COLUMNS, Page, StoredMail, Summary, row_of, summary_of
from mailpact_capture.search import EVERYTHING, Query, to_sql
from mailpact_capture.session import Envelope

P = ParamSpec("P")
T = TypeVar("T")

MAX_PAGE: Final = 10_000  # rows that one answer may have

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mail that was received and is not stored yet."""

    public_id: str
    envelope: Envelope
    raw: bytes


class Store:
    """The mails of one file. Its methods may be called from one event loop; `opened` makes it."""

    def __init__(self, connection: sqlite3.Connection, worker: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._worker = worker
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
                message_ids = await self._run(self._commit, [arrival for arrival, _ in group])
            except StoreUnavailable as error:
                self._note_failure(error)
                _settle(group, error)
            else:
                self._note_success()
                for message_id in message_ids:
                    tell(message_id)
                _settle(group, None)

    async def page(self, query: Query, *, start: int, limit: int) -> Page:
        """Return a part of what the query finds, newest first."""
        return await self._run(self._page, query, start, min(limit, MAX_PAGE))

    async def mail(self, public_id: str, *, mark_read: bool) -> StoredMail | None:
        """Return a mail by its public ID (`latest`: the newest); None if there is none. Parses it again."""
        return await self._run(self._mail, public_id, mark_read)

    async def check(self) -> None:
        """Raise StoreUnavailable if the file cannot be read."""
        await self._run(self._connection.execute, "SELECT 1 FROM mail LIMIT 1")

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._worker, lambda: work(*args, **kwargs)
            )
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the mail store cannot be used now: {error}") from error

    def _commit(self, arrivals: list[Arrival]) -> list[str]:
        parsed = [(arrival, parse(arrival.raw)) for arrival in arrivals]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for arrival, mail in parsed:
                self._insert(arrival, row_of(arrival.public_id, arrival.envelope, arrival.raw, mail))
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        return [mail.message_id for _, mail in parsed]

    def _insert(self, arrival: Arrival, row: dict[str, str | int]) -> None:
        columns, places = ", ".join(row), ", ".join(f":{column}" for column in row)
        # The names come from records.row_of, the values are bound.
        inserted = self._connection.execute(f"INSERT INTO mail ({columns}) VALUES ({places})", row)  # noqa: S608 (constants)
        self._connection.execute("INSERT INTO raw VALUES (?, ?)", (inserted.lastrowid, arrival.raw))

    def _page(self, query: Query, start: int, limit: int) -> Page:
        condition, parameters = to_sql(query)
        total, unread = self._count("TRUE", ())
        found, found_unread = (total, unread) if query == EVERYTHING else self._count(condition, parameters)
        # The condition is built from constants by search.to_sql; what was typed is bound.
        rows = self._connection.execute(
            f"SELECT {SUMMARY_COLUMNS} FROM mail WHERE {condition} ORDER BY id DESC LIMIT ? OFFSET ?",  # noqa: S608 (constants)
            (*parameters, limit, start),
        )
        summaries = tuple(summary_of(row) for row in rows)
        highest = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'mail'").fetchone()
        return Page(summaries, total, unread, found, found_unread, cursor=highest["seq"] if highest else 0)

    def _count(self, condition: str, parameters: tuple[str, ...]) -> tuple[int, int]:
        counted = self._connection.execute(
            f"SELECT count(*) AS found, total(read = 0) AS unread FROM mail WHERE {condition}",  # noqa: S608 (as above)
            parameters,
        ).fetchone()
        return counted["found"], int(counted["unread"])

    def _mail(self, public_id: str, mark_read: bool) -> StoredMail | None:  # noqa: FBT001 (private)
        summary = self._summary(public_id)
        if summary is None:
            return None
        raw = self._connection.execute("SELECT bytes FROM raw WHERE id = ?", (summary.row_id,)).fetchone()[
            "bytes"
        ]
        if mark_read and not summary.is_read:
            self._connection.execute("UPDATE mail SET read = 1 WHERE id = ?", (summary.row_id,))
        return StoredMail(summary, raw, parse(raw))

    def _summary(self, public_id: str) -> Summary | None:
        condition = "id = (SELECT max(id) FROM mail)" if public_id == "latest" else "public_id = :public_id"
        row = self._connection.execute(
            f"SELECT {SUMMARY_COLUMNS} FROM mail WHERE {condition}",  # noqa: S608 (constants)
            {"public_id": public_id},
        ).fetchone()
        return summary_of(row) if row else None

    def _note_failure(self, error: StoreUnavailable) -> None:
        if not self._is_failing:
            log.error("mail is refused: it cannot be stored", error=str(error))
        self._is_failing = True

    def _note_success(self) -> None:
        if self._is_failing:
            log.warning("mail is stored again")
        self._is_failing = False


def _settle(group: list[tuple[Arrival, asyncio.Future[None]]], error: StoreUnavailable | None) -> None:
    for _, stored in group:
        if stored.done():
            continue  # the client has gone; what it sent is stored all the same
        if error:
            stored.set_exception(error)
        else:
            stored.set_result(None)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    """Open the store in `path` or make it, and close it at the end; raise StoreFileError if it is none."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="capture-store") as worker:
        connection = await loop.run_in_executor(worker, tables.connect, path)
        try:
            yield Store(connection, worker)
        finally:
            await loop.run_in_executor(worker, connection.close)
