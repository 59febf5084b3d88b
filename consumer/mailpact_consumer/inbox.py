"""The inbox: one row per message and recipient, every change a compare-and-set.

A row goes to `sending` after RCPT and before DATA; that is the claim. `sent` may always be written and is never
overwritten: whatever else is believed, a 250 was a mail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailpact.database import clock
from mailpact.database.migrate import migrate
from mailpact.database.transactions import Database
from mailpact_consumer.decide import Row, Send, State
from mailpact_consumer.liveness import DEAD_SECONDS
from mailpact_consumer.schema import HEAD, VERSION_TABLE, inbox, owners

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
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


class Inbox:
    """The inbox in its database, as the process `owner` sees it."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    async def prepare(self) -> None:
        """Make or upgrade the tables. Raises SchemaUnknown, DatabaseUnavailable."""
        await migrate(self._database, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)

    async def rows(self, message_id: str) -> Sequence[Row]:
        """Read all rows of a message, each with whether its owner is alive."""
        dead_before = clock.now() - int(DEAD_SECONDS * clock.SECOND)
        query = (
            select(inbox, (owners.c.renewed_at >= dead_before).label("owner_is_alive"))
            .join_from(inbox, owners, inbox.c.owner == owners.c.owner, isouter=True)
            .where(inbox.c.message_id == message_id)
        )
        found = await self._database.transact(lambda connection: connection.execute(query).all())
        return [
            Row(
                recipient_sha256=row.recipient_sha256,
                state=State(row.state),
                owner=row.owner,
                owner_is_alive=bool(row.owner_is_alive),
                token=row.token,
                body_sha256=row.body_sha256,
            )
            for row in found
        ]

    async def claim(self, key: Key, send: Send, *, token: str, body_sha256: str) -> Claim | None:
        """Put the row to `sending` for this try; None when somebody else was quicker, so decide again."""

        def work(connection: Connection) -> Claim | None:
            uncertain = 1 if send.is_uncertain else 0
            if send.seen is None:
                self._insert(
                    connection,
                    key,
                    state=State.SENDING,
                    token=token,
                    body_sha256=body_sha256,
                    uncertain=uncertain,
                )
            elif not self._take_over(connection, key, send.seen, token, uncertain):
                return None
            row = connection.execute(
                select(inbox.c.first_seen, inbox.c.attempts, inbox.c.uncertain).where(_is(key))
            ).one()
            return Claim(row.first_seen, row.attempts, row.uncertain)

        try:
            return await self._database.transact(work)
        except IntegrityError:
            return None

    async def finish_sent(self, key: Key, smtp_code: int) -> None:
        """Record the 250. Whoever owns the row by now, this is the truth about it."""
        sent = (
            update(inbox)
            .where(_is(key))
            .values(state=State.SENT, smtp_code=smtp_code, ended_at=clock.now(), owner=self._owner)
        )
        await self._database.transact(lambda connection: connection.execute(sent))

    async def finish_failed(
        self, key: Key, smtp_code: int, *, seen_token: str | None, token: str, body_sha256: str
    ) -> bool:
        """Record that the recipient is refused for good; False when the row is not as it was seen, so decide again.

        `seen_token` is that of the row, None when there was none; a new row gets `token`.
        """
        ended = {"state": State.FAILED, "smtp_code": smtp_code, "ended_at": clock.now()}

        def work(connection: Connection) -> bool:
            if seen_token is None:
                self._insert(connection, key, token=token, body_sha256=body_sha256, uncertain=0, **ended)
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

    def _insert(self, connection: Connection, key: Key, **values: object) -> None:
        connection.execute(
            insert(inbox).values(
                message_id=key.message_id,
                recipient_sha256=key.recipient_sha256,
                owner=self._owner,
                attempts=1,
                first_seen=clock.now(),
                **values,
            )
        )

    def _take_over(self, connection: Connection, key: Key, seen: Row, token: str, uncertain: int) -> bool:
        taken = connection.execute(
            update(inbox)
            .where(_is(key), inbox.c.state == State.SENDING, inbox.c.token == seen.token)
            .values(
                owner=self._owner,
                token=token,
                attempts=inbox.c.attempts + 1,
                uncertain=inbox.c.uncertain + uncertain,
            )
        )
        return taken.rowcount == 1


def _is(key: Key) -> ColumnElement[bool]:
    return and_(inbox.c.message_id == key.message_id, inbox.c.recipient_sha256 == key.recipient_sha256)
