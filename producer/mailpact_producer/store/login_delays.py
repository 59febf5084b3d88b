"""Delays of logins, for all processes of the site. Repeated failures increase the delay.

A row stands for an account as seen from one network, or for a network. Each attempt takes the next free moment, so that
simultaneous attempts wait one after the other. Nobody is locked out: the owner can log in from another network without
waiting.
"""

from typing import Final

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import mysql, sqlite

from mailpact.database import clock
from mailpact_producer.limits import delay_seconds
from mailpact_producer.store.schema import login_delays

FORGOTTEN_SECONDS: Final = 3600
LONGEST_SECONDS: Final = 15.0


def take_turn(connection: Connection, name: str, *, free_failures: int) -> float:
    """Take the next free moment; return in how many seconds that is.

    A moment more than LONGEST_SECONDS away is not taken: the caller refuses the attempt, and it delays nobody else.
    """
    _make_row(connection, name)
    query = select(login_delays.c.failures, login_delays.c.free_at, clock.now().label("now"))
    row = connection.execute(query.where(login_delays.c.name == name).with_for_update()).one()
    failures = 0 if row.free_at < row.now - FORGOTTEN_SECONDS * clock.SECOND else row.failures
    turn = max(row.now, row.free_at)
    pause = int(delay_seconds(failures, free_failures=free_failures) * clock.SECOND)
    wait = float(turn + pause - row.now) / clock.SECOND
    if wait <= LONGEST_SECONDS:
        # Counted as a failure until the password turns out to be right.
        changed = {"failures": failures + 1, "free_at": turn + pause}
        connection.execute(update(login_delays).where(login_delays.c.name == name).values(**changed))
    return wait


def forget(connection: Connection, name: str) -> None:
    """Forget the failures: the password was right."""
    connection.execute(delete(login_delays).where(login_delays.c.name == name))


def purge(connection: Connection) -> int:
    """Delete the rows that cause no delay any more; return how many."""
    return connection.execute(
        delete(login_delays).where(login_delays.c.free_at < clock.now() - FORGOTTEN_SECONDS * clock.SECOND)
    ).rowcount


def _make_row(connection: Connection, name: str) -> None:
    new = {"name": name, "failures": 0, "free_at": 0}
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(login_delays).values(**new).on_conflict_do_nothing())
    else:
        connection.execute(mysql.insert(login_delays).values(**new).on_duplicate_key_update(name=name))
