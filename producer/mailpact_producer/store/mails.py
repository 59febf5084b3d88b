"""The mails of each reader, and their states.

A row is written in the transaction of the message, so the row exists before any event about the mail. Status events
change the row. The row is deleted with the message's row in the outbox, or with its reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, insert, select, update

from mailpact.database import clock
from mailpact_producer.mail_state import MailState, Progress
from mailpact_producer.relay_plan import State
from mailpact_producer.store.outbox import KEPT_DAYS
from mailpact_producer.store.prepared import Prepared, bound
from mailpact_producer.store.schema import mails, outbox

MOST_SHOWN: Final = 100
"""Mails of one reader that are shown, the latest first."""

_ADD = Prepared(
    insert(mails).values(
        **bound("message_id", "user_id", "template", "email"),
        made_at=clock.now(),
        state=MailState.QUEUED,
        attempt=0,
        occurred_at=0,
    )
)
_PROGRESS: Final = ("state", "attempt", "occurred_at", "smtp_code", "reply", "error")


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail of a reader; `made_at` is in microseconds since 1970, `outbox` the state of its message in the outbox."""

    message_id: str
    user_id: int
    template: str
    email: str = field(repr=False)
    made_at: int
    progress: Progress
    outbox: State | None

    @property
    def moment(self) -> datetime:
        """Return when the site made the mail."""
        return clock.moment(self.made_at)

    @property
    def state(self) -> str:
        """Return the state for people: `waiting` until the broker has accepted the message, then that of events."""
        if self.progress.state is MailState.QUEUED:
            if self.outbox in (State.PENDING, State.CLAIMED):
                return "waiting"
            if self.outbox is State.DEAD:
                return "broken"
        return self.progress.state


def add(connection: Connection, message_id: str, *, user_id: int, template: str, email: str) -> None:
    """Store a row for a message to a reader, in the message's transaction."""
    _ADD.write(
        connection, {"message_id": message_id, "user_id": user_id, "template": template, "email": email}
    )


def record(connection: Connection, told: Mapping[str, Sequence[Progress]]) -> int:
    """Record the states of mails, by the ids of their messages; return how many ids are not of this site.

    A state that is older than the stored state changes nothing, so an event may be recorded twice.
    """
    names = (mails.c[name] for name in _PROGRESS)
    query = (
        select(mails.c.message_id, *names)
        .with_hint(mails, "FORCE INDEX (PRIMARY)", "mysql")
        .where(mails.c.message_id.in_(sorted(told)))
        .order_by(mails.c.message_id)  # two processes lock the same rows in one order
        .with_for_update()
    )
    rows = connection.execute(query).all()
    changes = []
    for row in rows:
        known = latest = _progress(row)
        for progress in told[row.message_id]:
            if progress.is_later_than(latest):
                latest = progress
        if latest is not known:
            changes.append({"id": row.message_id, **_values(latest)})
    if changes:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _PROGRESS}
        connection.execute(update(mails).where(mails.c.message_id == bindparam("id")).values(values), changes)
    return len(told) - len(rows)


def of_reader(connection: Connection, user_id: int) -> Sequence[SentMail]:
    """Return the mails of a reader, the latest first."""
    query = _query().where(mails.c.user_id == user_id)
    rows = connection.execute(query.order_by(mails.c.made_at.desc(), mails.c.message_id).limit(MOST_SHOWN))
    return [_mail(row) for row in rows]


def find(connection: Connection, message_id: str, *, user_id: int) -> SentMail | None:
    """Return one mail of a reader; None if the reader has no such mail."""
    query = _query().where(mails.c.message_id == message_id, mails.c.user_id == user_id)
    row = connection.execute(query).first()
    return None if row is None else _mail(row)


def remove_of_reader(connection: Connection, user_id: int) -> None:
    """Delete what is stored about the mails of a reader."""
    connection.execute(delete(mails).where(mails.c.user_id == user_id))


def purge(connection: Connection, *, limit: int) -> int:
    """Delete old mails whose messages are no longer in the outbox, the oldest first; return how many."""
    made_before = clock.now() - KEPT_DAYS * 24 * 3600 * clock.SECOND
    in_outbox = exists().where(outbox.c.message_id == mails.c.message_id)
    query = (
        select(mails.c.message_id)
        .where(mails.c.made_at < made_before, ~in_outbox)
        .order_by(mails.c.made_at)
        .limit(limit)
    )
    ids = connection.execute(query).scalars().all()
    if ids:
        connection.execute(delete(mails).where(mails.c.message_id.in_(ids)))
    return len(ids)


def _query() -> Select[*tuple[Any, ...]]:
    return select(*mails.c, outbox.c.state.label("in_outbox")).join(
        outbox, outbox.c.message_id == mails.c.message_id, isouter=True
    )


def _mail(row: Row[*tuple[Any, ...]]) -> SentMail:
    state = None if row.in_outbox is None else State(row.in_outbox)
    return SentMail(row.message_id, row.user_id, row.template, row.email, row.made_at, _progress(row), state)


def _progress(row: Row[*tuple[Any, ...]]) -> Progress:
    return Progress(
        MailState(row.state), row.attempt, row.occurred_at, row.smtp_code, row.reply or "", row.error or ""
    )


def _values(progress: Progress) -> dict[str, object]:
    return {
        "new_state": progress.state.value,
        "new_attempt": progress.attempt,
        "new_occurred_at": progress.occurred_at,
        "new_smtp_code": progress.smtp_code,
        "new_reply": progress.reply,
        "new_error": progress.error,
    }
