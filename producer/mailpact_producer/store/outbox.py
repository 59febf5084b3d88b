"""The outbox: messages that are committed but not yet confirmed by the broker.

A row is written in the transaction of the change that it reports. A relay claims rows for 30 seconds and commits the
claim before it talks to the broker, so no lock is held while a relay waits. A row that the relay of the same process
publishes at once is stored as claimed. A relay settles only rows under its own valid claim: a relay that was suspended
for longer than its lease changes nothing any more.

The query for due rows has the order of the index `ix_outbox_due`, and every change finds its rows by their ids. With
another query plan, a database with row locks would also lock other rows, and a second relay would find no rows or wait
for the first relay. MySQL is told which index to use, because by itself it reads the whole table when that looks
cheaper: MariaDB 10.11 to find the due rows among 300, 11.8 to change 50 of them (both measured).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from mailpact.amqp.messages import Message
from mailpact.database import clock
from mailpact_producer.relay_plan import Dead, Published, PutBack, State, Step
from mailpact_producer.store.prepared import Prepared, bound
from mailpact_producer.store.schema import outbox

LEASE_SECONDS: Final = 30  # three times what one publish may take
KEPT_DAYS: Final = 7  # a published message, of which only id and times are left
MAX_EXPIRED: Final = 1000  # at a time
MAX_REASON: Final = 300  # characters, the column's size

_ENQUEUE = Prepared(
    insert(outbox).values(
        **bound("message_id", "contract", "body", "made_at_seconds", "traceparent", "state", "claim"),
        available_at=clock.now() + bindparam("lease", type_=BigInteger),
        attempts=0,
    )
)
_HOLDS = select(outbox.c.id).where(outbox.c.message_id == bindparam("message"))


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that the relay holds; `attempts` counts its earlier publishes that were not confirmed."""

    id: int
    message_id: str
    contract: str
    body: bytes
    made_at_seconds: int
    attempts: int
    traceparent: str | None


def enqueue(
    connection: Connection, message: Message, *, contract: str, claim: str | None = None
) -> Claimed | None:
    """Store a message that is published as soon as this transaction is committed.

    With `claim` the row is stored as claimed, for LEASE_SECONDS, and returned. Without a claim return None.
    """
    if message.message_id is None or message.timestamp is None:
        raise ValueError("a message in the outbox has an id and the time at which it was made")
    made_at_seconds = int(message.timestamp.timestamp())
    header = message.headers.get("traceparent")
    traceparent = None if header is None else str(header)
    values = {
        "message_id": message.message_id,
        "contract": contract,
        "body": message.body,
        "made_at_seconds": made_at_seconds,
        "traceparent": traceparent,
        "state": State.PENDING if claim is None else State.CLAIMED,
        "claim": claim,
        "lease": 0 if claim is None else LEASE_SECONDS * clock.SECOND,
    }
    row_id = _ENQUEUE.write(connection, values)
    if claim is None:
        return None
    return Claimed(row_id, message.message_id, contract, message.body, made_at_seconds, 0, traceparent)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the outbox, for operators; the times are in ISO 8601, `confirmed_at` is empty before the confirm."""

    message_id: str
    contract: str
    state: str
    attempts: int
    reason: str
    committed_at: str
    confirmed_at: str


def find(connection: Connection, message_ids: Sequence[str]) -> Entry | None:
    """Return the message that has one of these ids; None if the outbox has none."""
    query = select(*outbox.c).where(outbox.c.message_id.in_(message_ids)).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return None
    confirmed_at = "" if row.published_at is None else clock.moment(row.published_at).isoformat()
    committed_at = clock.moment(row.made_at_seconds * clock.SECOND).isoformat()
    return Entry(
        row.message_id, row.contract, row.state, row.attempts, row.reason or "", committed_at, confirmed_at
    )


def holds(connection: Connection, message_id: str) -> bool:
    """Return whether a message with this id was enqueued before."""
    return connection.execute(_HOLDS, {"message": message_id}).first() is not None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The messages that wait in the outbox: how many, since when the oldest waits, and how many are dead."""

    pending: float
    oldest_seconds: float
    dead: float


def backlog(connection: Connection) -> Backlog:
    """Return the state of the outbox of all processes."""
    unconfirmed = outbox.c.state.in_([State.PENDING, State.CLAIMED])
    query = select(func.count(), func.min(outbox.c.made_at_seconds), clock.now()).where(unconfirmed)
    pending, oldest, now = connection.execute(query).one()
    dead = select(func.count()).select_from(outbox).where(outbox.c.state == State.DEAD)
    age = 0.0 if oldest is None else max(0.0, now / clock.SECOND - oldest)
    return Backlog(pending, age, connection.execute(dead).scalar_one())


def claim(connection: Connection, *, token: str, limit: int) -> Sequence[Claimed]:
    """Claim the rows that have been due longest, at most `limit`, for LEASE_SECONDS under an unused token."""
    rows = connection.execute(_CLAIMABLE, {"most": limit}).all()
    if rows:
        connection.execute(_CLAIM, {"token": token, "ids": [row.id for row in rows]})
    return [Claimed(*row) for row in rows]


def take_back_expired(connection: Connection) -> int:
    """Make rows pending again whose lease has ended, because their relay died or hangs. Return how many."""
    ids = connection.execute(_EXPIRED, {"most": MAX_EXPIRED}).scalars().all()
    if ids:
        connection.execute(
            _update()
            .where(outbox.c.id.in_(ids))
            .values(state=State.PENDING, claim=None, available_at=clock.now())
        )
    return len(ids)


def purge(connection: Connection, *, limit: int) -> int:
    """Delete messages that were published long ago, the oldest first; return how many."""
    published_before = clock.now() - KEPT_DAYS * 24 * 3600 * clock.SECOND
    query = (
        select(outbox.c.id)
        .with_hint(outbox, "FORCE INDEX (ix_outbox_due)", "mysql")
        .where(outbox.c.state == State.PUBLISHED, outbox.c.available_at < published_before)
        .order_by(outbox.c.available_at, outbox.c.id)
        .limit(limit)
    )
    ids = connection.execute(query).scalars().all()
    if ids:
        connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))
    return len(ids)


def settle(connection: Connection, steps: Sequence[tuple[int, Step]], *, token: str) -> None:
    """Apply the decisions about rows claimed under `token`, by their ids; skip rows that other relays hold now."""
    published: list[int] = []
    put_back: list[dict[str, object]] = []
    dead: list[dict[str, object]] = []
    for row_id, step in steps:
        match step:
            case Published():
                published.append(row_id)
            case PutBack(seconds, is_attempt, reason):
                wait, tries = int(seconds * clock.SECOND), int(is_attempt)
                put_back.append({"row": row_id, "wait": wait, "tries": tries, "why": reason[:MAX_REASON]})
            case Dead(reason):
                dead.append({"row": row_id, "why": reason[:MAX_REASON]})
            case _:
                assert_never(step)
    _settle_published(connection, published, token)
    _settle_put_back(connection, put_back, token)
    _settle_dead(connection, dead, token)


def _settle_published(connection: Connection, ids: Sequence[int], token: str) -> None:
    if ids:
        connection.execute(_PUBLISHED, {"token": token, "ids": ids})


def _settle_put_back(connection: Connection, rows: Sequence[dict[str, object]], token: str) -> None:
    if rows:
        statement = (
            _update()
            .where(_held(token), outbox.c.id == bindparam("row"))
            .values(
                state=State.PENDING,
                claim=None,
                available_at=clock.now() + bindparam("wait"),
                attempts=outbox.c.attempts + bindparam("tries"),
                reason=bindparam("why"),
            )
        )
        connection.execute(statement, rows)


def _settle_dead(connection: Connection, rows: Sequence[dict[str, object]], token: str) -> None:
    if rows:
        statement = (
            _update()
            .where(_held(token), outbox.c.id == bindparam("row"))
            .values(state=State.DEAD, claim=None, reason=bindparam("why"))
        )
        connection.execute(statement, rows)


def _due(state: State, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    return (
        select(*columns)
        .with_hint(outbox, "FORCE INDEX (ix_outbox_due)", "mysql")
        .where(outbox.c.state == state, outbox.c.available_at <= clock.now())
        .order_by(outbox.c.available_at, outbox.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


def _update() -> Update:
    return update(outbox).with_hint("FORCE INDEX (PRIMARY)", dialect_name="mysql")


def _held(token: str | BindParameter[str]) -> ColumnElement[bool]:
    return and_(outbox.c.state == State.CLAIMED, outbox.c.claim == token)


_IDS: Final = outbox.c.id.in_(bindparam("ids", expanding=True))
_COLUMNS: Final = ("id", "message_id", "contract", "body", "made_at_seconds", "attempts", "traceparent")
_CLAIMABLE: Final = _due(State.PENDING, *(outbox.c[name] for name in _COLUMNS))
_EXPIRED: Final = _due(State.CLAIMED, outbox.c.id)
_CLAIM: Final = (
    _update()
    .where(_IDS)
    .values(
        state=State.CLAIMED,
        claim=bindparam("token"),
        available_at=clock.now() + LEASE_SECONDS * clock.SECOND,
    )
)
_PUBLISHED: Final = (
    _update()
    .where(_held(bindparam("token")), _IDS)
    .values(state=State.PUBLISHED, claim=None, body=None, published_at=clock.now())
)
