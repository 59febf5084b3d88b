"""One process's sign of life, by which others know whether a `sending` row still has somebody behind it.

The row is renewed every 2 seconds and counts as dead after 10 by the database's clock. The process stops trusting
itself 8 seconds after it *sent* its last renewal, which is before anybody else can call it dead; it looks just before
DATA. So of two processes never both believe that a row is theirs.
"""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy import Connection, delete, insert, update

from mailpact.database import clock
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_consumer.schema import owners

RENEW_SECONDS = 2.0
DEAD_SECONDS = 10.0
TRUST_SECONDS = 8.0
FORGET_SECONDS = 86_400

log = structlog.get_logger()


class Liveness:
    """The sign of life of the process `owner`; `monotonic` is a clock in seconds that never jumps."""

    def __init__(self, database: Database, owner: str, *, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._trusted_until = float("-inf")
        self.owner = owner

    def is_trusted(self) -> bool:
        """Whether this process may still believe that its rows are its own."""
        return self._monotonic() < self._trusted_until

    async def announce(self) -> None:
        """Make the row, and forget processes that died a day ago. Raises DatabaseUnavailable."""
        sent_at = self._monotonic()

        def work(connection: Connection) -> None:
            connection.execute(
                delete(owners).where(owners.c.renewed_at < clock.now() - FORGET_SECONDS * clock.SECOND)
            )
            connection.execute(insert(owners).values(owner=self.owner, renewed_at=clock.now()))

        await self._database.transact(work)
        self._trusted_until = sent_at + TRUST_SECONDS

    async def keep(self) -> None:
        """Renew the row until cancelled; a database in trouble is logged once, and trust runs out by itself."""
        is_reported = False
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._renew()
            except DatabaseUnavailable as error:
                if not is_reported:
                    log.warning("inbox database in trouble, sending pauses", reason=str(error))
                is_reported = True
            else:
                if is_reported:
                    log.warning("inbox database is back")
                is_reported = False

    async def withdraw(self) -> None:
        """Take the row away at the end, so that a successor need not wait until it looks dead."""
        await self._database.transact(lambda c: c.execute(delete(owners).where(owners.c.owner == self.owner)))

    async def _renew(self) -> None:
        sent_at = self._monotonic()
        mine = update(owners).where(owners.c.owner == self.owner).values(renewed_at=clock.now())
        await self._database.transact(lambda connection: connection.execute(mine))
        self._trusted_until = sent_at + TRUST_SECONDS
