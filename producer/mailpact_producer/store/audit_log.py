"""The audit log: entries are added and read, never changed, and deleted after a year."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, delete, insert, select

from mailpact.database import clock
from mailpact.database.transactions import after_commit
from mailpact_producer.audit import Act, Who
from mailpact_producer.store.schema import audit_log, users

KEPT_DAYS: Final = 365
ENTRY: Final = "audit entry"
"""The event of the log record that repeats an entry."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `name` is the name of the account that acted, None if the account does not exist any more."""

    id: int
    at: datetime
    act: str
    account: int | None
    name: str | None = field(repr=False)
    object: str
    network: str


def add(connection: Connection, who: Who, act: Act, on: str = "") -> None:
    """Add an entry, which is kept and logged if this transaction is committed. `on` names an object as in `audit`."""
    connection.execute(
        insert(audit_log).values(at=clock.now(), act=act, account=who.account, object=on, network=who.network)
    )
    entry = partial(log.info, ENTRY, act=act, account=who.account, object=on, network=who.network)
    after_commit(connection, partial(who.soon, entry))


def purge(connection: Connection, *, limit: int) -> int:
    """Delete entries that are older than a year, the oldest first; return how many."""
    # By ids, which grow with the time: a statement that looks for times would read and lock the whole table.
    oldest = (
        select(audit_log.c.id, audit_log.c.at, clock.now().label("now")).order_by(audit_log.c.id).limit(limit)
    )
    rows = connection.execute(oldest).all()
    ids = [row.id for row in rows if row.at < row.now - KEPT_DAYS * 24 * 3600 * clock.SECOND]
    if ids:
        connection.execute(delete(audit_log).where(audit_log.c.id.in_(ids)))
    return len(ids)


def listed(connection: Connection, *, act: Act | None, before: int | None, limit: int) -> Sequence[Entry]:
    """Return entries, the latest first; `before` is the id that the entries are older than."""
    query = select(audit_log, users.c.name).join(users, users.c.id == audit_log.c.account, isouter=True)
    if act is not None:
        query = query.where(audit_log.c.act == act)
    if before is not None:
        query = query.where(audit_log.c.id < before)
    rows = connection.execute(query.order_by(audit_log.c.id.desc()).limit(limit))
    return [
        Entry(row.id, clock.moment(row.at), row.act, row.account, row.name, row.object, row.network)
        for row in rows
    ]
