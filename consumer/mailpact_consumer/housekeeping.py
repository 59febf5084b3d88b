"""Deletes old rows of the inbox that are terminal and have no status event due."""

import asyncio
from typing import NoReturn

from sqlalchemy import Connection, delete, select

from mailpact.database import clock
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_consumer.inbox_sql import Key, among
from mailpact_consumer.schema import inbox

PURGE_EVERY_SECONDS = 600
PURGED_AT_ONCE = 500  # keeps transactions short
DAY = 86_400 * clock.SECOND


class Housekeeping:
    """Removes rows that ended more than `inbox_days` ago, a few in each transaction."""

    def __init__(self, database: Database, *, inbox_days: int) -> None:
        self._database = database
        self._inbox_days = inbox_days

    async def run(self) -> NoReturn:
        """Remove old rows every ten minutes until cancelled."""
        while True:
            try:
                while await self.purge() == PURGED_AT_ONCE:
                    pass
            except DatabaseUnavailable:
                pass  # other tasks report the error
            await asyncio.sleep(PURGE_EVERY_SECONDS)

    async def purge(self) -> int:
        """Remove up to 500 rows and return the number of removed rows. Raises DatabaseUnavailable."""
        return await self._database.transact(self._purge)

    def _purge(self, connection: Connection) -> int:
        old = (
            select(inbox.c.message_id, inbox.c.recipient_sha256)
            .where(inbox.c.ended_at < clock.now() - self._inbox_days * DAY, inbox.c.due_since.is_(None))
            .order_by(inbox.c.ended_at)
            .limit(PURGED_AT_ONCE)
        )
        keys = sorted(Key(row.message_id, row.recipient_sha256) for row in connection.execute(old))
        if not keys:
            return 0
        # A replay may have reopened a row in the meantime.
        removed = connection.execute(delete(inbox).where(among(keys), inbox.c.ended_at.is_not(None)))
        return removed.rowcount
