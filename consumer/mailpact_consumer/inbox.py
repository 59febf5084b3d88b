"""The inbox: one row per message and recipient. Every change is a compare-and-set.

The claim sets a row to `sending` after DATA and before the mail's bytes. `sent` may always be written and is never
overwritten, because a 250 proves that the mail was accepted. Every other transition names the state and the token
that were read.

All kinds of writes go in groups, each one transaction: `sent`, claims, deferred or ended rows, and confirmed status
events. Two rules prevent conflicts between consumers on a database with row locks. Rows are changed in the order of
their keys: unsorted, four workers met 85 deadlocks in 240 groups, sorted none. And `among` names the message ids
beside the whole keys: MariaDB 10.11 reads, and locks, the whole table for an UPDATE with a list of one whole key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select, update

from mailpact.database import clock
from mailpact.database.migrate import migrate
from mailpact.database.transactions import Database
from mailpact_consumer.decide import REOPENED_BY_REPLAY, TERMINAL, UNFINISHED, Row, Send, State
from mailpact_consumer.grouping import LARGEST, Grouping
from mailpact_consumer.inbox_group import Found, Group
from mailpact_consumer.inbox_sql import (
    Key,
    among,
    appended,
    insert_if_absent,
    is_key,
    look,
    microseconds,
)
from mailpact_consumer.schema import HEAD, VERSION_TABLE, inbox
from mailpact_consumer.values import value

MIGRATIONS = Path(__file__).parent / "migrations"
FEW_CONNECTIONS = 10


@value
class Subject:
    """The data that a row stores about its message. `publisher_id` is set if the key was made from the publisher's id.

    `template_digest` belongs to the template that the mail is made from now; it is None without a template.
    """

    key: Key
    body_sha256: str
    publisher_id: str | None = None
    template_digest: str | None = None


@value
class Claim:
    """The claimed row. Times are microseconds since 1970; `attempts` includes this try.

    `first_seen` is when the message's first row was written: all recipients' mails have the same date.
    """

    token: str
    first_seen: int
    attempts: int
    uncertain: int
    unanswered: int
    tried_seconds: float
    events: int
    written_at: int


@value
class ClaimRequest:
    """One request for a claim; `event` is the status event of an uncertain send, to be published."""

    subject: Subject
    send: Send
    token: str
    event: str | None = None


@value
class Seen:
    """A row as it was last read or written. A transition compares the row with these values."""

    state: State
    token: str


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of a row out of `sending` or `deferred`, or a new row (`seen` is None).

    The row gets `state`, `token`, the given counts and the reply. `wait_seconds` is the time until the next try.
    """

    subject: Subject
    seen: Seen | None
    state: State
    token: str
    attempts: int
    unanswered: int = 0
    is_uncertain: bool = False
    wait_seconds: float | None = None
    smtp_code: int | None = None
    last_reply: str | None = None
    event: str | None = None


@value
class Sent:
    """A mail that the server accepted."""

    subject: Subject
    token: str
    attempts: int
    smtp_code: int
    last_reply: str
    event: str


@value
class Reported:
    """The broker has confirmed the only status event that was due in a row.

    `events` counts the row's status events including this one; `due_since` is when this event was written. If these
    values have changed, the sweep publishes the row's events again.
    """

    key: Key
    events: int
    due_since: int


Write = ClaimRequest | Transition | Sent | Reported


class Inbox:
    """The inbox in its database, as the process `owner` sees it. The process has `connections` to the mail server.

    A claim holds a connection. Of many connections at most half are claimed in a group, so that the others can send.
    """

    def __init__(self, database: Database, owner: str, *, connections: int = FEW_CONNECTIONS) -> None:
        self._database = database
        self._owner = owner
        self._looks = Grouping[str, Sequence[Row]](database, look)
        limit = connections // 2 if connections > FEW_CONNECTIONS else LARGEST
        self._writes = Grouping[Write, Any](database, self._write, limited=ClaimRequest, limit=limit)

    async def prepare(self) -> None:
        """Make or upgrade the tables. Raises SchemaUnknown, OlderConsumersAlive, DatabaseUnavailable."""
        await migrate(self._database, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)

    async def finish(self) -> None:
        """Wait until all requests to the database have ended, also requests whose caller no longer waits."""
        for grouping in (self._looks, self._writes):
            await grouping.finish()

    async def rows(self, message_id: str) -> Sequence[Row]:
        """Read all rows of a message, each with whether its owner is alive."""
        return await self._looks.ask(message_id)

    async def claim(self, request: ClaimRequest) -> Claim | None:
        """Set the row to `sending` for this try, and return the claim.

        The result is None if the row has changed, or if the message's id was used for another body; then read the rows
        and decide again. A new row can be claimed without reading it before, because the result of the claim is enough.
        """
        claim: Claim | None = await self._writes.ask(request)
        return claim

    async def record_sent(self, sent: Sent) -> int:
        """Record the 250 and return its time by the database.

        This is valid even if another process owns the row now.
        """
        return int(await self._writes.ask(sent))

    async def move(self, transition: Transition) -> int | None:
        """Make a transition and return its time by the database; None if the row has changed."""
        moved_at: int | None = await self._writes.ask(transition)
        return moved_at

    def reported(self, reported: Reported) -> None:
        """Record, with the next group, that the broker has confirmed a row's status event."""
        self._writes.tell(reported)

    def _write(self, connection: Connection, writes: Sequence[Write]) -> Sequence[Any]:
        claims = [one for one in writes if isinstance(one, ClaimRequest)]
        moves = [one for one in writes if isinstance(one, Transition)]
        taken = [one for one in claims if one.send.seen is not None]
        known: int | None = None
        if moves or taken:
            known = connection.execute(select(clock.now())).scalar_one()
            self._take_all(connection, taken, known)
        group = Group(connection, self._owner, known)
        _record_sent(group, [one for one in writes if isinstance(one, Sent)])
        _claim_new(group, [one for one in claims if one.send.seen is None])
        _clear(group, [one for one in writes if isinstance(one, Reported)])
        # This SELECT locks the rows: two processes that claim one id for two bodies must see each other's rows.
        ids = sorted({one.subject.key.message_id for one in claims})
        now, are_alone = group.execute(ids, [one.token for one in claims])
        if are_alone and not taken and len(ids) == len(claims):
            claimed = {one.token: _first_claim(one, now) for one in claims}
        else:
            claimed = _good_claims(connection, claims, group.rows(ids), now)
        moved = self._move(connection, moves, now)
        results: dict[str, Any] = {**claimed, **{token: now for token, is_moved in moved.items() if is_moved}}
        return [
            results.get(one.token) if isinstance(one, ClaimRequest | Transition) else now for one in writes
        ]

    def _take_all(self, connection: Connection, claims: Sequence[ClaimRequest], now: int) -> None:
        for one in sorted(claims, key=lambda one: one.subject.key):
            if one.send.seen is not None:
                self._take(connection, one, one.send.seen, now)

    def _take(self, connection: Connection, one: ClaimRequest, seen: Row, now: int) -> None:
        if seen.state not in (REOPENED_BY_REPLAY if one.send.reopens else UNFINISHED):
            return
        connection.execute(
            update(inbox)
            .where(is_key(one.subject.key), inbox.c.state == seen.state, inbox.c.token == seen.token)
            .values(
                state=State.SENDING,
                owner=self._owner,
                token=one.token,
                attempts=inbox.c.attempts + 1,
                uncertain=inbox.c.uncertain + int(one.send.is_uncertain),
                next_try_at=None,
                ended_at=None,
                template_digest=one.subject.template_digest,
                **({"unanswered": 0, "tried_since": now} if one.send.reopens else {}),
                **appended(one.event, now),
            )
        )

    def _move(self, connection: Connection, moves: Sequence[Transition], now: int) -> dict[str, bool]:
        in_order = sorted(moves, key=lambda one: one.subject.key)
        new = [one for one in in_order if one.seen is None]
        self._insert(
            connection,
            [
                self._new_row(one.subject, one.state, one.token, now, attempts=one.attempts)
                | {"uncertain": int(one.is_uncertain), "due": one.event, "events": int(one.event is not None)}
                | {"due_since": now if one.event else None}
                | _outcome(one, now)
                for one in new
            ],
        )
        moved = _standing(connection, new)
        for one in in_order:
            if one.seen is not None:
                changed = connection.execute(
                    update(inbox)
                    .where(
                        is_key(one.subject.key),
                        inbox.c.state == one.seen.state,
                        inbox.c.token == one.seen.token,
                    )
                    .values(
                        state=one.state,
                        owner=self._owner,
                        token=one.token,
                        attempts=one.attempts,
                        uncertain=inbox.c.uncertain + int(one.is_uncertain),
                        **_outcome(one, now),
                        **appended(one.event, now),
                    )
                )
                moved[one.token] = changed.rowcount == 1
        return moved

    def _insert(self, connection: Connection, rows: list[dict[str, object]]) -> None:
        if rows:
            connection.execute(insert_if_absent(connection.dialect.name), rows)

    def _new_row(
        self, subject: Subject, state: State, token: str, now: int, *, attempts: int
    ) -> dict[str, object]:
        return {
            "message_id": subject.key.message_id,
            "recipient_sha256": subject.key.recipient_sha256,
            "body_sha256": subject.body_sha256,
            "publisher_id": subject.publisher_id,
            "template_digest": subject.template_digest,
            "state": state,
            "owner": self._owner,
            "token": token,
            "attempts": attempts,
            "first_seen": now,
            "tried_since": now,
        }


def _outcome(one: Transition, now: int) -> dict[str, object]:
    next_try_at = None if one.wait_seconds is None else now + microseconds(one.wait_seconds)
    return {
        "unanswered": one.unanswered,
        "smtp_code": one.smtp_code,
        "last_reply": one.last_reply,
        "next_try_at": next_try_at,
        "ended_at": now if one.state in TERMINAL else None,
    }


def _record_sent(group: Group, sent: Sequence[Sent]) -> None:
    group.record_sent(
        [
            (
                *_of_subject(one.subject),
                one.token,
                one.attempts,
                one.smtp_code,
                one.last_reply,
                one.event,
            )
            for one in sorted(sent, key=lambda one: one.subject.key)
        ]
    )


def _claim_new(group: Group, claims: Sequence[ClaimRequest]) -> None:
    in_order = sorted(claims, key=lambda one: one.subject.key)
    for has_event in (False, True):
        group.claim_new(
            [
                (*_of_subject(one.subject), one.token, int(one.send.is_uncertain), one.event)
                for one in in_order
                if (one.event is not None) is has_event
            ],
            has_event=has_event,
        )


def _of_subject(subject: Subject) -> tuple[object, ...]:
    key = subject.key
    return (
        key.message_id,
        key.recipient_sha256,
        subject.body_sha256,
        subject.publisher_id,
        subject.template_digest,
    )


def _clear(group: Group, reported: Sequence[Reported]) -> None:
    group.clear(
        [
            (one.key.message_id, one.key.recipient_sha256, one.events, one.due_since)
            for one in sorted(reported, key=lambda one: one.key)
        ]
    )


def _first_claim(one: ClaimRequest, now: int) -> Claim:
    """Return the claim of a row that was just written and is the only one of its message."""
    return Claim(one.token, now, 1, int(one.send.is_uncertain), 0, 0.0, int(one.event is not None), now)


def _good_claims(
    connection: Connection, claims: Sequence[ClaimRequest], found: Sequence[Found], now: int
) -> dict[str, Claim]:
    """Return the claims whose token is in the row, and undo the claims whose message id was used for another body."""
    by_token = {row.token: row for row in found}
    bodies: dict[str, set[str]] = {}
    first_seen: dict[str, int] = {}
    for row in found:
        bodies.setdefault(row.message_id, set()).add(row.body_sha256)
        first_seen[row.message_id] = min(row.first_seen, first_seen.get(row.message_id, row.first_seen))
    good: dict[str, Claim] = {}
    for one in claims:
        key, mine = one.subject.key, by_token.get(one.token)
        if mine is None:
            continue
        if bodies[key.message_id] != {one.subject.body_sha256}:
            if one.send.seen is None:
                connection.execute(delete(inbox).where(is_key(key), inbox.c.token == one.token))
            continue
        good[one.token] = Claim(
            token=one.token,
            first_seen=first_seen[key.message_id],
            attempts=mine.attempts,
            uncertain=mine.uncertain,
            unanswered=mine.unanswered,
            tried_seconds=(now - mine.tried_since) / clock.SECOND,
            events=mine.events,
            written_at=now,
        )
    return good


def _standing(connection: Connection, moves: Sequence[Transition]) -> dict[str, bool]:
    """Return for each new row whether the row has the transition's token."""
    if not moves:
        return {}
    query = select(inbox.c.token).where(among([one.subject.key for one in moves]))
    tokens = set(connection.execute(query).scalars())
    return {one.token: one.token in tokens for one in moves}
