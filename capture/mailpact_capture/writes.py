"""The store's changes, each in one transaction on the connection that writes."""

# ruff: noqa: S608 (the conditions are made of constants by search.py)

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mailpact_capture.envelope import Envelope
from mailpact_capture.mail import parse
from mailpact_capture.reads import cursor, scoped
from mailpact_capture.records import row_of, tag_columns
from mailpact_capture.search import MAX_SEARCHED_BYTES, Query, to_sql

MAX_TAGS = 100


@dataclass(slots=True)
class Arrival:
    """A mail that was received and is not stored yet."""

    public_id: str
    envelope: Envelope
    raw: bytes
    tags: tuple[str, ...] = ()
    _row: dict[str, Any] | None = field(default=None, init=False)

    def row(self) -> dict[str, Any]:
        """Return the mail's row by its columns. The first call parses the mail; `id` is 0 until it is inserted."""
        if self._row is None:
            mail = parse(self.raw, text_limit=2 * MAX_SEARCHED_BYTES)
            told = (tag.strip() for value in mail.values("x-tags") for tag in value.split(","))  # as Mailpit
            tags = tuple(dict.fromkeys([*self.tags, *filter(None, told)]))[:MAX_TAGS]
            columns = row_of(self.public_id, self.envelope, len(self.raw), mail, tags)
            self._row = {"id": 0, "read": 0, **columns}
        return self._row


@dataclass(frozen=True, slots=True)
class Limit:
    """How much the store keeps; the oldest mails go first."""

    mails: int
    bytes: int


@dataclass(slots=True)
class Kept:
    """How much the store keeps now, as this process knows it; `version` changes when another process wrote."""

    mails: int = 0
    bytes: int = 0
    version: int = -1


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done within, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def insert(connection: sqlite3.Connection, arrivals: Sequence[Arrival]) -> None:
    """Insert mails and write their numbers into their rows."""
    rows = [arrival.row() for arrival in arrivals]
    raws, named = [], []
    for number, (row, arrival) in enumerate(zip(rows, arrivals, strict=True), cursor(connection) + 1):
        row["id"] = number
        raws.append((number, arrival.raw))
        named += [(name, number) for name in arrival.envelope.namespaces()]
    connection.executemany(_insertion(tuple(rows[0])), [tuple(row.values()) for row in rows])
    connection.executemany("INSERT INTO raw VALUES (?, ?)", raws)
    if named:
        connection.executemany("INSERT INTO namespace VALUES (?, ?)", named)


@cache
def _insertion(columns: tuple[str, ...]) -> str:
    """Return the statement that inserts a row; it takes values by position, which SQLite binds faster than by name."""
    return f"INSERT INTO mail ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def prune(connection: sqlite3.Connection, limit: Limit, kept: Kept) -> int:
    """Delete the oldest mails over the limit, but never the newest mail; return how many were deleted."""
    if kept.mails <= limit.mails and kept.bytes <= limit.bytes:
        return 0
    doomed = []
    for row in connection.execute("SELECT id, size FROM mail ORDER BY id"):
        if kept.mails <= 1 or (kept.mails <= limit.mails and kept.bytes <= limit.bytes):
            break
        doomed.append((row["id"],))
        kept.mails -= 1
        kept.bytes -= row["size"]
    connection.executemany("DELETE FROM mail WHERE id = ?", doomed)
    return len(doomed)


def recount(connection: sqlite3.Connection, kept: Kept) -> None:
    """Count again what the store keeps if another process wrote to it."""
    version = connection.execute("PRAGMA data_version").fetchone()[0]
    if version != kept.version:
        row = connection.execute("SELECT count(*) AS mails, total(size) AS bytes FROM mail").fetchone()
        kept.mails, kept.bytes, kept.version = row["mails"], int(row["bytes"]), version


def delete(
    connection: sqlite3.Connection, query: Query, namespace: str | None, kept: Kept
) -> list[tuple[str, tuple[str, ...] | None]]:
    """Delete what the query finds, and return the public ID of each mail with the namespaces that it left.

    In a namespace a mail is only taken out of it; the mail goes when no other namespace has it.
    """
    condition, values = to_sql(scoped(query, namespace))
    with transaction(connection):
        found = connection.execute(
            f"SELECT id, public_id, size FROM mail WHERE {condition}", values
        ).fetchall()
        if namespace is not None:
            connection.executemany(
                "DELETE FROM namespace WHERE name = ? AND id = ?", [(namespace, row["id"]) for row in found]
            )
        gone = [row for row in found if namespace is None or not _has_namespace(connection, row["id"])]
        connection.executemany("DELETE FROM mail WHERE id = ?", [(row["id"],) for row in gone])
    kept.mails -= len(gone)
    kept.bytes -= sum(row["size"] for row in gone)
    connection.execute("PRAGMA incremental_vacuum(2000)").fetchall()  # a step for each page
    left = {row["public_id"] for row in gone}
    return [(row["public_id"], None if row["public_id"] in left else (namespace or "",)) for row in found]


def _has_namespace(connection: sqlite3.Connection, row_id: int) -> bool:
    return (
        connection.execute("SELECT 1 FROM namespace WHERE id = ? LIMIT 1", (row_id,)).fetchone() is not None
    )


def mark(connection: sqlite3.Connection, query: Query, namespace: str | None, *, read: bool) -> list[str]:
    """Mark what the query finds as read or unread; return the public IDs of those that were not."""
    condition, values = to_sql(scoped(query, namespace))
    with transaction(connection):
        rows = connection.execute(
            f"SELECT id, public_id FROM mail WHERE read <> ? AND ({condition})", (int(read), *values)
        ).fetchall()
        connection.executemany(
            "UPDATE mail SET read = ? WHERE id = ?", [(int(read), row["id"]) for row in rows]
        )
    return [row["public_id"] for row in rows]


def retag(
    connection: sqlite3.Connection,
    query: Query,
    namespace: str | None,
    change: Callable[[Sequence[str]], Sequence[str]],
) -> list[tuple[str, tuple[str, ...]]]:
    """Change the tags of what the query finds; return the public IDs of the mails that changed, with their tags."""
    condition, values = to_sql(scoped(query, namespace))
    changed = []
    with transaction(connection):
        for row in connection.execute(
            f"SELECT id, public_id, tags FROM mail WHERE {condition}", values
        ).fetchall():
            before = json.loads(row["tags"])
            after = tuple(dict.fromkeys(change(before)))
            if list(after) != before:
                columns = tag_columns(after)
                connection.execute(
                    "UPDATE mail SET tags = :tags, found_tags = :found_tags WHERE id = :id",
                    {**columns, "id": row["id"]},
                )
                changed.append((row["public_id"], after))
    return changed
