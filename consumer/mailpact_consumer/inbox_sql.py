"""The SQL statements of the inbox."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    and_,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects import mysql, sqlite

from mailpact.database import clock
from mailpact_consumer.decide import Row, State
from mailpact_consumer.liveness import is_alive
from mailpact_consumer.schema import inbox, owners


class Key(NamedTuple):
    """The key of a row: the message and the hash of one recipient. A tuple, because groups of rows are sorted by it."""

    message_id: str
    recipient_sha256: str


def microseconds(seconds: float) -> int:
    """Return a duration in microseconds, the unit of stored times."""
    return int(seconds * clock.SECOND)


def look(connection: Connection, message_ids: Sequence[str]) -> Sequence[Sequence[Row]]:
    """Return the rows of each message."""
    now = clock.now()
    query = (
        select(inbox, is_alive().label("owner_is_alive"), now.label("now"))
        .join_from(inbox, owners, inbox.c.owner == owners.c.owner, isouter=True)
        .where(inbox.c.message_id.in_(set(message_ids)))
    )
    found: dict[str, list[Row]] = {message_id: [] for message_id in message_ids}
    for row in connection.execute(query):
        found[row.message_id].append(
            Row(
                recipient_sha256=row.recipient_sha256,
                state=State(row.state),
                owner=row.owner,
                owner_is_alive=bool(row.owner_is_alive),
                token=row.token,
                body_sha256=row.body_sha256,
                attempts=row.attempts,
                unanswered=row.unanswered,
                uncertain=row.uncertain,
                rest_seconds=0.0 if row.next_try_at is None else (row.next_try_at - row.now) / clock.SECOND,
                tried_seconds=(row.now - row.tried_since) / clock.SECOND,
                events=row.events,
                template_digest=row.template_digest,
            )
        )
    return [found[message_id] for message_id in message_ids]


@cache
def insert_if_absent(dialect: str) -> Insert:
    """Return an INSERT that leaves a row of the same key as it is."""
    if dialect == "sqlite":
        return sqlite.insert(inbox).on_conflict_do_nothing(index_elements=inbox.primary_key.columns)
    # not INSERT IGNORE, which would also shorten values that are too long.
    return mysql.insert(inbox).on_duplicate_key_update(message_id=inbox.c.message_id)


def appended(event: str | None, now: int) -> dict[str, Any]:
    """Return the values that add a status event to the events that are due; none without an event."""
    if event is None:
        return {}
    return {
        "due": func.coalesce(inbox.c.due, "") + event,
        "due_since": func.coalesce(inbox.c.due_since, now),
        "events": inbox.c.events + 1,
    }


def is_key(key: Key) -> ColumnElement[bool]:
    """Return the condition that a row is this one."""
    return and_(inbox.c.message_id == key.message_id, inbox.c.recipient_sha256 == key.recipient_sha256)


def among(keys: Sequence[Key]) -> ColumnElement[bool]:
    """Return the condition that a row is one of these."""
    whole = [(key.message_id, key.recipient_sha256) for key in keys]
    return and_(
        inbox.c.message_id.in_({key.message_id for key in keys}),
        tuple_(inbox.c.message_id, inbox.c.recipient_sha256).in_(whole),
    )
