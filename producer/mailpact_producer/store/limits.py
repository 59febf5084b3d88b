"""Counts what was asked for in the last hour, for all processes of the site.

A row holds the times of one mailbox's or network's requests. It is locked while they are counted, so that requests at
the same moment cannot all be the last that is allowed.
"""

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import mysql, sqlite

from mailpact.database import clock
from mailpact_producer.limits import HOUR_SECONDS, recent
from mailpact_producer.store.schema import limits

SPAN = HOUR_SECONDS * clock.SECOND


def take(connection: Connection, key: str, *, most: int) -> bool:
    """Count one request more, unless the last hour has seen `most` of them; return whether it was counted."""
    _make_row(connection, key)
    query = select(limits.c.times, clock.now()).where(limits.c.name == key).with_for_update()
    stored, now = connection.execute(query).one()
    times = recent([int(time) for time in stored.split()], now, span=SPAN)
    if len(times) >= most:
        return False
    text = " ".join(map(str, [*times, now]))
    connection.execute(update(limits).where(limits.c.name == key).values(times=text, used_at=now))
    return True


def purge(connection: Connection) -> int:
    """Delete the rows that count nothing any more; return how many."""
    return connection.execute(delete(limits).where(limits.c.used_at < clock.now() - SPAN)).rowcount


def _make_row(connection: Connection, key: str) -> None:
    new = {"name": key, "times": "", "used_at": clock.now()}
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(limits).values(**new).on_conflict_do_nothing())
    else:
        connection.execute(mysql.insert(limits).values(**new).on_duplicate_key_update(name=key))
