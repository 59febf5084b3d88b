"""The store's changes. Each runs in one transaction on the writing connection."""

# ruff: noqa: S608 (the conditions are made of constants by search.py)

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mailpact_capture.envelope import Envelope, Scopes, scopes_of
from mailpact_capture.headers import decode_words
from mailpact_capture.mail import parse
from mailpact_capture.reads import cursor, scoped
from mailpact_capture.records import clean_tag, distinct_tags, row_of, tag_columns
from mailpact_capture.search import MAX_SEARCHED_BYTES, Query, to_sql

MAX_TAGS = 100


@dataclass(slots=True)
class Arrival:
    """A received mail that is not stored yet."""

    public_id: str
    envelope: Envelope
    raw: bytes
    tags: tuple[str, ...] = ()
    namespace: str | None = None  # where a client stored the mail by HTTP
    _row: dict[str, Any] | None = field(default=None, init=False)

    def row(self) -> dict[str, Any]:
        """Return the mail's row by its columns. The first call parses the mail. `id` is 0 until the row is inserted."""
        if self._row is None:
            mail = parse(self.raw, text_limit=2 * MAX_SEARCHED_BYTES)
            told = (
                tag for value in mail.values("x-tags") for tag in decode_words(value).split(",")
            )  # as Mailpit
            tags = distinct_tags([*self.tags, *filter(None, map(clean_tag, told))])[:MAX_TAGS]
            columns = row_of(self.public_id, self.envelope, len(self.raw), mail, tags)
            self._row = {"id": 0, "read": 0, **columns}
        return self._row

    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces to which the mail belongs."""
        named = self.envelope.namespaces()
        return named if self.namespace is None or self.namespace in named else (*named, self.namespace)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many mails and bytes the store keeps. The oldest mails are deleted first."""

    mails: int
    bytes: int


@dataclass(slots=True)
class Kept:
    """What the store holds now, as this process knows. `version` changes when another process wrote to the file.

    `highest` is the highest row id that any mail ever had.
    """

    mails: int = 0
    bytes: int = 0
    highest: int = 0
    version: int = -1


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all changes of the block, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def insert(connection: sqlite3.Connection, arrivals: Sequence[Arrival], kept: Kept) -> None:
    """Insert mails, set `id` in their rows, and count them."""
    rows = [arrival.row() for arrival in arrivals]
    raws, named = [], []
    for number, (row, arrival) in enumerate(zip(rows, arrivals, strict=True), kept.highest + 1):
        row["id"] = number
        raws.append((number, arrival.raw))
        named += [(name, number) for name in arrival.namespaces()]
    connection.executemany(_insertion(tuple(rows[0])), [tuple(row.values()) for row in rows])
    connection.executemany("INSERT INTO raw VALUES (?, ?)", raws)
    if named:
        connection.executemany("INSERT INTO namespace VALUES (?, ?)", named)
    kept.highest += len(arrivals)
    kept.mails += len(arrivals)
    kept.bytes += sum(len(arrival.raw) for arrival in arrivals)


@cache
def _insertion(columns: tuple[str, ...]) -> str:
    """Return the statement that inserts a row.

    Its values are positional, because SQLite binds them faster than named values.
    """
    return f"INSERT INTO mail ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def prune(connection: sqlite3.Connection, limit: Limit, kept: Kept) -> int:
    """Delete the oldest mails over the limit, but never the newest mail; return the number of deleted mails."""
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
    """Count the store's mails and bytes again if another process wrote to the file."""
    version = connection.execute("PRAGMA data_version").fetchone()[0]
    if version != kept.version:
        row = connection.execute("SELECT count(*) AS mails, total(size) AS bytes FROM mail").fetchone()
        kept.mails, kept.bytes, kept.version = row["mails"], int(row["bytes"]), version
        kept.highest = cursor(connection)


def delete(
    connection: sqlite3.Connection, query: Query, namespace: str | None, kept: Kept
) -> list[tuple[str, Scopes]]:
    """Delete the mails that the query finds.

    Return each mail's public ID with the lists from which it was removed.

    In a namespace a mail is only removed from this namespace. The mail is deleted when no other namespace has it.
    """
    condition, values = to_sql(scoped(query, namespace))
    with transaction(connection):
        found = connection.execute(
            f"SELECT id, public_id, size FROM mail WHERE {condition}", values
        ).fetchall()
        named = _namespaces(connection, found)
        if namespace is not None:
            connection.executemany(
                "DELETE FROM namespace WHERE name = ? AND id = ?", [(namespace, row["id"]) for row in found]
            )
        gone = [row for row in found if namespace is None or named[row["id"]] == [namespace]]
        connection.execute("REPLACE INTO highest (rowid, id) VALUES (1, ?)", (cursor(connection),))
        connection.executemany("DELETE FROM mail WHERE id = ?", [(row["id"],) for row in gone])
    kept.mails -= len(gone)
    kept.bytes -= sum(row["size"] for row in gone)
    connection.execute("PRAGMA incremental_vacuum(2000)").fetchall()  # a step for each page
    left = {row["id"] for row in gone}
    return [
        (row["public_id"], scopes_of(named[row["id"]]) if row["id"] in left else (namespace,))
        for row in found
    ]


def _namespaces(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> dict[int, list[str]]:
    """Return the namespaces of each mail by the mail's row id."""
    named: dict[int, list[str]] = {row["id"]: [] for row in rows}
    for each in connection.execute(
        "SELECT id, name FROM namespace WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(named)),),
    ):
        named[each["id"]].append(each["name"])
    return named


def mark(
    connection: sqlite3.Connection, query: Query, namespace: str | None, *, read: bool
) -> list[tuple[str, list[str]]]:
    """Mark the mails that the query finds as read or unread.

    Return the public IDs and the namespaces of the mails that changed.
    """
    condition, values = to_sql(scoped(query, namespace))
    with transaction(connection):
        rows = connection.execute(
            f"SELECT id, public_id FROM mail WHERE read <> ? AND ({condition})", (int(read), *values)
        ).fetchall()
        connection.executemany(
            "UPDATE mail SET read = ? WHERE id = ?", [(int(read), row["id"]) for row in rows]
        )
        named = _namespaces(connection, rows)
    return [(row["public_id"], named[row["id"]]) for row in rows]


def retag(
    connection: sqlite3.Connection,
    query: Query,
    namespace: str | None,
    change: Callable[[Sequence[str]], Sequence[str]],
) -> list[tuple[str, tuple[str, ...], list[str]]]:
    """Change the tags of the mails that the query finds.

    Return the public IDs, the tags and the namespaces of the mails that changed.
    """
    condition, values = to_sql(scoped(query, namespace))
    changed = []
    with transaction(connection):
        rows = connection.execute(
            f"SELECT id, public_id, tags FROM mail WHERE {condition}", values
        ).fetchall()
        named = _namespaces(connection, rows)
        for row in rows:
            before = json.loads(row["tags"])
            after = distinct_tags(change(before))
            if list(after) != before:
                columns = tag_columns(after)
                connection.execute(
                    "UPDATE mail SET tags = :tags, found_tags = :found_tags WHERE id = :id",
                    {**columns, "id": row["id"]},
                )
                changed.append((row["public_id"], after, named[row["id"]]))
    return changed
