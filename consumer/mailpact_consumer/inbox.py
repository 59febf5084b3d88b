"""The inbox: one row per message and recipient, every change a compare-and-set.

A row goes to `sending` after RCPT and before DATA; that is the claim. `sent` may always be written and is never
overwritten: whatever else is believed, a 250 was a mail.

What each mail needs (looking, claiming, recording the 250) is done in groups, each kind by one statement or a few. Two
rules keep consumers out of each other's way on a database that locks row by row. Rows are changed in the order of
their keys: unsorted, four workers met 85 deadlocks in 240 groups, sorted none. And `_among` names the message ids
beside the whole keys: MariaDB 10.11 reads, and locks, the whole table for an UPDATE with a list of one whole key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, and_, insert, select, tuple_, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import IntegrityError

from mailpact.database import clock
from mailpact.database.migrate import migrate
from mailpact.database.transactions import Database
from mailpact_consumer.decide import Row, Send, State
from mailpact_consumer.grouping import Grouping
from mailpact_consumer.liveness import DEAD_SECONDS
from mailpact_consumer.schema import HEAD, VERSION_TABLE, inbox, owners

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which row: the message and the hash of one recipient."""

    message_id: str
    recipient_sha256: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What the claimed row says: `first_seen` in microseconds since 1970, tries so far (this one included)."""

    first_seen: int
    attempts: int
    uncertain: int


@dataclass(frozen=True, slots=True)
class _Try:
    """One request for a claim."""

    key: Key
    send: Send
    token: str
    body_sha256: str


class Inbox:
    """The inbox in its database, as the process `owner` sees it."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._looks = Grouping[str, Sequence[Row]](database, _look)
        self._claims = Grouping[_Try, Claim | None](database, self._claim)
        self._sent = Grouping[tuple[int, Key], None](database, self._record_sent)

    async def prepare(self) -> None:
        """Make or upgrade the tables. Raises SchemaUnknown, DatabaseUnavailable."""
        await migrate(self._database, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)

    async def finish(self) -> None:
        """Wait for what is at the database, also for those who do not wait for it themselves any more."""
        for grouping in (self._looks, self._claims, self._sent):
            await grouping.finish()

    async def rows(self, message_id: str) -> Sequence[Row]:
        """Read all rows of a message, each with whether its owner is alive."""
        return await self._looks.ask(message_id)

    async def claim(self, key: Key, send: Send, *, token: str, body_sha256: str) -> Claim | None:
        """Put the row to `sending` for this try; None when somebody else was quicker, so decide again."""
        return await self._claims.ask(_Try(key, send, token, body_sha256))

    async def finish_sent(self, key: Key, smtp_code: int) -> None:
        """Record the 250. Whoever owns the row by now, this is the truth about it."""
        await self._sent.ask((smtp_code, key))

    async def finish_failed(
        self, key: Key, smtp_code: int, *, seen_token: str | None, token: str, body_sha256: str
    ) -> bool:
        """Record that the recipient is refused for good; False when the row is not as it was seen, so decide again.

        `seen_token` is that of the row, None when there was none; a new row gets `token`.
        """
        ended: dict[str, Any] = {"state": State.FAILED, "smtp_code": smtp_code, "ended_at": clock.now()}

        def work(connection: Connection) -> bool:
            if seen_token is None:
                row = self._new_row(
                    key, token=token, body_sha256=body_sha256, first_seen=clock.now(), uncertain=0
                )
                connection.execute(insert(inbox).values(**row, **ended))
                return True
            failed = connection.execute(
                update(inbox)
                .where(_is(key), inbox.c.state == State.SENDING, inbox.c.token == seen_token)
                .values(**ended)
            )
            return failed.rowcount == 1

        try:
            return await self._database.transact(work)
        except IntegrityError:
            return False

    def _claim(self, connection: Connection, tries: Sequence[_Try]) -> Sequence[Claim | None]:
        """Make or take over the rows, as far as nobody else did; a claim is good if its token then stands there."""
        in_order = sorted(tries, key=lambda one: one.key)
        self._add(connection, [one for one in in_order if one.send.seen is None])
        for one in in_order:
            if one.send.seen is not None:
                self._take_over(connection, one, one.send.seen)
        columns = (inbox.c.token, inbox.c.first_seen, inbox.c.attempts, inbox.c.uncertain)
        found = connection.execute(select(*columns).where(_among([one.key for one in tries])))
        claims = {row.token: Claim(row.first_seen, row.attempts, row.uncertain) for row in found}
        return [claims.get(one.token) for one in tries]

    def _add(self, connection: Connection, tries: Sequence[_Try]) -> None:
        if tries:
            now = connection.execute(
                select(clock.now())
            ).scalar_one()  # a value: the driver joins rows of values
            rows = [
                self._new_row(one.key, token=one.token, body_sha256=one.body_sha256, first_seen=now)
                | {"state": State.SENDING, "uncertain": int(one.send.is_uncertain)}
                for one in tries
            ]
            connection.execute(_insert_if_absent(connection.dialect.name), rows)

    def _take_over(self, connection: Connection, one: _Try, seen: Row) -> None:
        connection.execute(
            update(inbox)
            .where(_is(one.key), inbox.c.state == State.SENDING, inbox.c.token == seen.token)
            .values(
                owner=self._owner,
                token=one.token,
                attempts=inbox.c.attempts + 1,
                uncertain=inbox.c.uncertain + int(one.send.is_uncertain),
            )
        )

    def _record_sent(self, connection: Connection, sent: Sequence[tuple[int, Key]]) -> Sequence[None]:
        for smtp_code, group in groupby(sorted(sent), key=lambda one: one[0]):
            connection.execute(
                update(inbox)
                .where(_among([key for _, key in group]))
                .values(state=State.SENT, smtp_code=smtp_code, ended_at=clock.now(), owner=self._owner)
            )
        return [None] * len(sent)

    def _new_row(self, key: Key, **values: object) -> dict[str, object]:
        return {
            "message_id": key.message_id,
            "recipient_sha256": key.recipient_sha256,
            "owner": self._owner,
            "attempts": 1,
            **values,
        }


def _look(connection: Connection, message_ids: Sequence[str]) -> Sequence[Sequence[Row]]:
    dead_before = clock.now() - int(DEAD_SECONDS * clock.SECOND)
    query = (
        select(inbox, (owners.c.renewed_at >= dead_before).label("owner_is_alive"))
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
            )
        )
    return [found[message_id] for message_id in message_ids]


def _insert_if_absent(dialect: str) -> Insert:
    if dialect == "sqlite":
        return sqlite.insert(inbox).on_conflict_do_nothing(index_elements=inbox.primary_key.columns)
    # Not INSERT IGNORE, which would also cut what is too long.
    return mysql.insert(inbox).on_duplicate_key_update(message_id=inbox.c.message_id)


def _is(key: Key) -> ColumnElement[bool]:
    return and_(inbox.c.message_id == key.message_id, inbox.c.recipient_sha256 == key.recipient_sha256)


def _among(keys: Sequence[Key]) -> ColumnElement[bool]:
    whole = [(key.message_id, key.recipient_sha256) for key in keys]
    return and_(
        inbox.c.message_id.in_({key.message_id for key in keys}),
        tuple_(inbox.c.message_id, inbox.c.recipient_sha256).in_(whole),
    )
