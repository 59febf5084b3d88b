"""Counts the requests of the last hour, for all processes of the site.

A row holds the times of one mailbox's or network's requests. A request is recorded first, which locks its rows until
the transaction ends, and only then are the times counted: of several requests at the same moment, only one can be the
last that is allowed.
"""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import BindParameter, Connection, bindparam, delete, literal, select, update
from sqlalchemy.dialects import mysql, sqlite

from mailpact.database import clock
from mailpact_producer.limits import HOUR_SECONDS, Limit, recent
from mailpact_producer.store.prepared import Prepared
from mailpact_producer.store.schema import limits

SPAN = HOUR_SECONDS * clock.SECOND

_CORRECT = update(limits).where(limits.c.name == bindparam("row")).values(times=bindparam("text"))


def take(connection: Connection, wanted: Sequence[Limit]) -> Limit | None:
    """Count one more request under each of the limits, in their order, until a limit is full; return that limit.

    Return None if the request was counted under all limits. A request is not counted under the limit that is full, nor
    under the limits after it. All callers name networks before mailboxes: two transactions that lock the same rows in
    different orders would wait for each other.
    """
    if not wanted:
        return None
    names = {f"name_{number}": limit.key for number, limit in enumerate(wanted)}
    _note(len(wanted)).write(connection, names)
    texts = {row.name: row.times for row in _times(len(wanted)).rows(connection, names)}
    corrected: dict[str, str] = {}
    full: Limit | None = None
    for limit in wanted:
        *earlier, now = map(int, texts[limit.key].split())
        counted = recent(earlier, now, span=SPAN)
        if full is None and len(counted) >= limit.most:
            full = limit
        times = counted if full is not None else [*counted, now]
        if len(times) != len(earlier) + 1:
            corrected[limit.key] = " ".join(map(str, times))
    if corrected:
        connection.execute(_CORRECT, [{"row": key, "text": text} for key, text in corrected.items()])
    return full


def purge(connection: Connection) -> int:
    """Delete the rows without requests of the last hour; return how many."""
    return connection.execute(delete(limits).where(limits.c.used_at < clock.now() - SPAN)).rowcount


@cache
def _note(count: int) -> Prepared:
    """Return the statement that adds the present time to so many rows, in their order, and makes missing rows."""
    text = literal(" ").concat(clock.now())
    new = [
        {"name": bindparam(f"name_{number}"), "times": text, "used_at": clock.now()}
        for number in range(count)
    ]
    changed = {"times": limits.c.times.concat(text), "used_at": clock.now()}
    return Prepared(
        {
            "sqlite": sqlite.insert(limits)
            .values(new)
            .on_conflict_do_update(index_elements=["name"], set_=changed),
            "mysql": mysql.insert(limits).values(new).on_duplicate_key_update(**changed),
        }
    )


@cache
def _times(count: int) -> Prepared:
    """Return the query for so many rows."""
    names: list[BindParameter[str]] = [bindparam(f"name_{number}") for number in range(count)]
    return Prepared(select(limits.c.name, limits.c.times).where(limits.c.name.in_(names)))
