r"""The outbox: messages that are committed with the business row and not yet confirmed by the broker.

    pending --claim--> claimed --confirmed--> published (body erased)
       ^                  |  \--refused by its own writer schema--> dead
       +--- put back -----+
       +--- lease over ---+

A claim is one short transaction. It carries a fence, so that a relay which was asleep past its lease cannot settle rows
that somebody else has by now; and no transaction is open while anybody talks to the broker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, func, insert, select, update

from mailpact.database import clock
from mailpact_producer.events import Event
from mailpact_producer.store.schema import outbox

LEASE_SECONDS = 30
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class State(StrEnum):
    """Where a message of the outbox stands."""

    PENDING = "pending"
    CLAIMED = "claimed"
    PUBLISHED = "published"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this relay has to itself until its lease is over; `attempts` counts this one."""

    id: int
    event: Event
    created_at: datetime
    attempts: int


def enqueue(connection: Connection, event: Event) -> None:
    """Write a message in the transaction of the row that it tells of."""
    connection.execute(
        insert(outbox).values(
            message_id=event.message_id,
            exchange=event.exchange,
            routing_key=event.routing_key,
            type=event.type,
            content_type=event.content_type,
            body=event.body,
            state=State.PENDING,
            attempts=0,
            available_at=clock.now(),
            created_at=clock.now(),
        )
    )


def claim_due(connection: Connection, *, claim: str, limit: int) -> Sequence[Claimed]:
    """Take up to `limit` messages that are due, those of relays that died included; `claim` is a new UUID."""
    _take_back_expired(connection)
    due = (
        select(outbox.c.id)
        .where(outbox.c.state == State.PENDING, outbox.c.available_at <= clock.now())
        .order_by(outbox.c.available_at, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(due).scalars())
    if not ids:
        return []
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(
            state=State.CLAIMED,
            claim=claim,
            claim_until=clock.now() + LEASE_SECONDS * clock.SECOND,
            attempts=outbox.c.attempts + 1,
        )
    )
    rows = connection.execute(select(outbox).where(outbox.c.id.in_(ids)).order_by(outbox.c.id))
    return [
        Claimed(
            id=row.id,
            event=Event(row.message_id, row.exchange, row.routing_key, row.type, row.content_type, row.body),
            created_at=EPOCH + timedelta(microseconds=row.created_at),
            attempts=row.attempts,
        )
        for row in rows
    ]


def settle_published(connection: Connection, ids: Sequence[int], *, claim: str) -> None:
    """Note that the broker has them, and erase their bodies: what was secret in them is elsewhere now."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(ids), outbox.c.claim == claim)
        .values(state=State.PUBLISHED, body=b"", published_at=clock.now(), claim=None, claim_until=None)
    )


def settle_dead(connection: Connection, ids: Sequence[int], *, claim: str) -> None:
    """Set messages aside that nobody could read; they stay for whoever mends the bug."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(ids), outbox.c.claim == claim)
        .values(state=State.DEAD, claim=None, claim_until=None)
    )


def put_back(connection: Connection, delays: Mapping[int, float], *, claim: str) -> None:
    """Make messages due again, each after its delay in seconds."""
    for row_id in sorted(delays):
        connection.execute(
            update(outbox)
            .where(outbox.c.id == row_id, outbox.c.claim == claim)
            .values(
                state=State.PENDING,
                available_at=clock.now() + int(delays[row_id] * clock.SECOND),
                claim=None,
                claim_until=None,
            )
        )


def count(connection: Connection, state: State) -> int:
    """Count the messages in a state."""
    return connection.execute(select(func.count()).where(outbox.c.state == state)).scalar_one()


def _take_back_expired(connection: Connection) -> None:
    # A statement of its own: with an OR the claim would not follow its index.
    connection.execute(
        update(outbox)
        .where(outbox.c.state == State.CLAIMED, outbox.c.claim_until < clock.now())
        .values(state=State.PENDING, claim=None, claim_until=None)
    )
