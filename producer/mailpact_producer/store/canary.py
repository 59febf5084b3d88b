"""The canary's row, which all processes of the site share. There is no row before the first canary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, case, insert, select, update

from mailpact.amqp.messages import Message
from mailpact.database import clock
from mailpact_producer.canary import Canary
from mailpact_producer.events import CONTRACT
from mailpact_producer.mail_state import MailState, Progress
from mailpact_producer.relay_plan import State
from mailpact_producer.store import outbox as outboxes
from mailpact_producer.store.schema import canary, outbox

_ROW: Final = canary.c.id == 1


@dataclass(frozen=True, slots=True)
class Sighting:
    """The database's data about the canary, and the time by the database's clock."""

    canary: Canary
    now: int


def look(connection: Connection) -> Sighting:
    """Return the data about the latest canary."""
    now = connection.execute(select(clock.now())).scalar_one()
    query = (
        select(*canary.c, outbox.c.state)
        .join(outbox, outbox.c.message_id == canary.c.message_id, isouter=True)
        .where(_ROW)
    )
    row = connection.execute(query).first()
    if row is None:
        return Sighting(Canary(), now)
    # A row that the outbox has deleted was confirmed days ago.
    is_confirmed = row.state in (None, State.PUBLISHED)
    return Sighting(
        Canary(
            row.message_id,
            row.started_at,
            MailState(row.told),
            is_confirmed,
            row.ended_at,
            row.arrived_at,
            row.waiting_since,
        ),
        now,
    )


def begin(connection: Connection, message: Message, *, after: str | None) -> bool:
    """Begin the canary that follows the canary `after`, and enqueue its message; False if another process did."""
    if after is None:
        # Two processes that insert at once: the second one meets IntegrityError, and looks again.
        connection.execute(
            insert(canary).values(
                id=1,
                message_id=message.message_id,
                started_at=clock.now(),
                told=MailState.QUEUED,
                waiting_since=clock.now(),
            )
        )
    else:
        waiting = canary.c.waiting_since
        begun = connection.execute(
            update(canary)
            .where(_ROW, canary.c.message_id == after, canary.c.ended_at.is_not(None))
            .values(
                message_id=message.message_id,
                started_at=clock.now(),
                told=MailState.QUEUED,
                ended_at=None,
                # A moment that is still to come was written before the clock was put back.
                waiting_since=case((waiting <= clock.now(), waiting), else_=clock.now()),
            )
        )
        if begun.rowcount == 0:
            return False
    outboxes.enqueue(connection, message, contract=CONTRACT)
    return True


def record(connection: Connection, told: Mapping[str, Sequence[Progress]]) -> str | None:
    """Record the events about the latest canary; return its message id if an event is about the canary.

    A state that is older than the stored state changes nothing, so an event may be recorded twice.
    """
    row = connection.execute(select(canary.c.message_id, canary.c.told).where(_ROW)).first()
    if row is None or row.message_id not in told:
        return None
    latest = max(told[row.message_id], key=lambda progress: progress.order)
    if latest.is_later_than(Progress(MailState(row.told))):
        same = (_ROW, canary.c.message_id == row.message_id, canary.c.told != MailState.SENT)
        connection.execute(update(canary).where(*same).values(told=latest.state))
    return str(row.message_id)


def end(connection: Connection, message_id: str, *, has_arrived: bool) -> bool:
    """End a canary; False if another process has ended it."""
    values: dict[str, object] = {"ended_at": clock.now()}
    if has_arrived:
        values |= {"arrived_at": clock.now(), "waiting_since": None}
    ended = connection.execute(
        update(canary)
        .where(_ROW, canary.c.message_id == message_id, canary.c.ended_at.is_(None))
        .values(**values)
    )
    return ended.rowcount > 0
