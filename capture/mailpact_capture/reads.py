"""The store's queries. Each runs on one connection in one read transaction. User input is always a bound parameter."""

# ruff: noqa: S608 (the conditions are made of constants by search.py)

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from mailpact_capture.envelope import CANARIES
from mailpact_capture.mail import parse
from mailpact_capture.records import SUMMARY_COLUMNS, Page, StoredMail, Summary, summary_of
from mailpact_capture.search import EVERYTHING, All, Condition, Query, to_sql

_TAGGED: Final = Condition("tags <> '[]'")


@contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def scoped(query: Query, namespace: str | None) -> Query:
    """Return the query for the mails of a namespace. None means all mail except canaries."""
    if namespace is None:
        scope = Condition("id NOT IN (SELECT id FROM namespace WHERE name = ?)", (CANARIES,))
    else:
        scope = Condition("id IN (SELECT id FROM namespace WHERE name = ?)", (namespace,))
    return scope if query == EVERYTHING else All((scope, query))


def page(connection: sqlite3.Connection, query: Query, namespace: str | None, start: int, limit: int) -> Page:
    """Return a page of the mails that the query finds, newest first. A search reads the mails only once."""
    with _one_moment(connection):
        total, unread = counts(connection, namespace)
        condition, values = to_sql(scoped(query, namespace))
        if query == EVERYTHING:
            found, found_unread = total, unread
            rows = connection.execute(
                f"SELECT {SUMMARY_COLUMNS} FROM mail WHERE {condition} ORDER BY id DESC LIMIT ? OFFSET ?",
                (*values, limit, start),
            ).fetchall()
        else:
            matches = connection.execute(f"SELECT id, read FROM mail WHERE {condition}", values).fetchall()
            found, found_unread = len(matches), sum(not row["read"] for row in matches)
            newest = sorted((row["id"] for row in matches), reverse=True)[start : start + limit]
            rows = _rows(connection, newest)
        summaries = tuple(summary_of(row) for row in rows)
        return Page(
            summaries, total, unread, found, found_unread, cursor(connection), tags(connection, namespace)
        )


def _rows(connection: sqlite3.Connection, row_ids: Sequence[int]) -> list[sqlite3.Row]:
    return connection.execute(
        f"SELECT {SUMMARY_COLUMNS} FROM mail WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id DESC",
        (json.dumps(row_ids),),
    ).fetchall()


def counts(connection: sqlite3.Connection, namespace: str | None) -> tuple[int, int]:
    """Return the number of mails and the number of unread mails. Both are counted in an index."""
    of = "SELECT count(*) FROM namespace WHERE name = ?"
    name = CANARIES if namespace is None else namespace
    total = connection.execute(of, (name,)).fetchone()[0]
    read = connection.execute(of + " AND id IN (SELECT id FROM mail WHERE read = 1)", (name,)).fetchone()[0]
    if namespace is None:
        total = connection.execute("SELECT count(*) FROM mail").fetchone()[0] - total
        read = connection.execute("SELECT count(*) FROM mail WHERE read = 1").fetchone()[0] - read
    return total, total - read


def cursor(connection: sqlite3.Connection) -> int:
    """Return the highest row id that any mail ever had."""
    newest, before = "(SELECT max(id) FROM mail)", "(SELECT id FROM highest)"
    query = f"SELECT max(coalesce({newest}, 0), coalesce({before}, 0))"
    return int(connection.execute(query).fetchone()[0])


def tags(connection: sqlite3.Connection, namespace: str | None) -> tuple[str, ...]:
    """Return all tags in use, in alphabetical order."""
    condition, values = to_sql(scoped(_TAGGED, namespace))
    rows = connection.execute(f"SELECT DISTINCT tags FROM mail WHERE {condition}", values)
    return tuple(sorted({tag for row in rows for tag in json.loads(row["tags"])}, key=str.casefold))


def tag_counts(connection: sqlite3.Connection, namespace: str | None) -> dict[str, int]:
    """Return how many mails have each tag."""
    found: dict[str, int] = {}
    condition, values = to_sql(scoped(_TAGGED, namespace))
    for row in connection.execute(
        f"SELECT tags, count(*) AS mails FROM mail WHERE {condition} GROUP BY tags", values
    ):
        for tag in json.loads(row["tags"]):
            found[tag] = found.get(tag, 0) + row["mails"]
    return found


def size_of_file(connection: sqlite3.Connection) -> int:
    """Return the size of the store's file in bytes."""
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


def arrived(
    connection: sqlite3.Connection, query: Query, namespace: str | None, after: int, limit: int
) -> tuple[list[str], int]:
    """Return the public IDs of mails with a number above `after` that the query finds, oldest first, and the cursor."""
    with _one_moment(connection):
        condition, values = to_sql(scoped(query, namespace))
        rows = connection.execute(
            f"SELECT public_id FROM mail WHERE id > ? AND ({condition}) ORDER BY id LIMIT ?",
            (after, *values, limit),
        )
        return [row["public_id"] for row in rows], cursor(connection)


def summary(
    connection: sqlite3.Connection, public_id: str, namespace: str | None, query: Query = EVERYTHING
) -> Summary | None:
    """Return a mail's summary; `latest` is the newest mail that the query finds. None if there is no such mail."""
    if public_id != "latest":
        query = Condition("public_id = ?", (public_id,))
    condition, values = to_sql(scoped(query, namespace))
    row = connection.execute(
        f"SELECT {SUMMARY_COLUMNS} FROM mail WHERE {condition} ORDER BY id DESC LIMIT 1", values
    ).fetchone()
    return summary_of(row) if row else None


def raw(
    connection: sqlite3.Connection, public_id: str, namespace: str | None, query: Query = EVERYTHING
) -> tuple[Summary, bytes] | None:
    """Return a mail's summary and its bytes, without parsing the mail; None if there is no such mail."""
    with _one_moment(connection):
        found = summary(connection, public_id, namespace, query)
        if found is None:
            return None
        row = connection.execute("SELECT bytes FROM raw WHERE id = ?", (found.row_id,)).fetchone()
        return found, row["bytes"]


def mail(
    connection: sqlite3.Connection, public_id: str, namespace: str | None, query: Query = EVERYTHING
) -> StoredMail | None:
    """Return a mail, parsed; None if there is no such mail."""
    found = raw(connection, public_id, namespace, query)
    return StoredMail(*found, parse(found[1])) if found else None
