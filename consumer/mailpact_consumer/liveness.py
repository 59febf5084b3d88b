"""One process's heartbeat in the database. It shows other processes whether the owner of a `sending` row is alive.

The process renews its row every 2 seconds. The row counts as dead after 10 seconds by the database's clock. A row
more than 10 seconds in the future counts as dead, too, because no living process can have written it. The process
stops trusting its own heartbeat 8 seconds after it *sent* the last renewal, so before any other process can regard it
as dead. Just before it sends a mail's bytes, it checks that it has trusted its heartbeat without interruption since
before its claim. A process that was suspended and has just renewed its row may have lost the claim to another
process. So two processes never both believe that they own a row.
"""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from mailpact.database import clock
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_consumer.database_clock import DatabaseClock
from mailpact_consumer.schema import owners

RENEW_SECONDS = 2.0
DEAD_SECONDS = 10.0
TRUST_SECONDS = 8.0
FORGET_SECONDS = 86_400

log = structlog.get_logger()


def is_alive() -> ColumnElement[bool]:
    """Return the condition that an owner's row is fresh: neither old nor from the future."""
    reach = int(DEAD_SECONDS * clock.SECOND)
    return owners.c.renewed_at.between(clock.now() - reach, clock.now() + reach)


class Liveness:
    """The heartbeat of the process `owner`. `monotonic` is a monotonic clock in seconds.

    `name` tells people which process it is. `clock` has the database's time, read at each renewal.
    """

    def __init__(
        self, database: Database, owner: str, *, monotonic: Callable[[], float], name: str = ""
    ) -> None:
        self._name = name
        self._database = database
        self._monotonic = monotonic
        self._trusted_from = float("-inf")
        self._trusted_until = float("-inf")
        self.owner = owner
        self.clock = DatabaseClock(monotonic)

    def trusted_since(self) -> float | None:
        """Return since when, without a break, this process may believe that its rows are its own; None if it may not.

        The time is that of the monotonic clock, so it can only be compared with other times of this clock.
        """
        return self._trusted_from if self._monotonic() < self._trusted_until else None

    async def announce(self) -> None:
        """Insert the row, and delete the rows of processes that died a day ago. Raises DatabaseUnavailable."""

        def work(connection: Connection) -> None:
            age = clock.now() - owners.c.renewed_at
            long_dead = ~age.between(-FORGET_SECONDS * clock.SECOND, FORGET_SECONDS * clock.SECOND)
            connection.execute(delete(owners).where(long_dead))
            self._report_from_the_future(connection)
            self._write_row(connection)

        await self._trusting(work)

    async def renew(self) -> None:
        """Renew the row. Raises DatabaseUnavailable."""
        await self._trusting(self._write_row)

    async def keep(self) -> None:
        """Renew the row until cancelled. Database errors are logged once; without renewals the trust ends by itself."""
        is_reported = False
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew()
            except DatabaseUnavailable as error:
                if not is_reported:
                    log.warning("inbox database in trouble, sending pauses", reason=str(error))
                is_reported = True
            else:
                if is_reported:
                    log.warning("inbox database is back")
                is_reported = False

    async def withdraw(self) -> None:
        """Delete the row at the end, so that a successor need not wait until the row counts as dead."""
        await self._database.transact(lambda c: c.execute(delete(owners).where(owners.c.owner == self.owner)))

    async def _trusting(self, work: Callable[[Connection], None]) -> None:
        sent_at = self._monotonic()
        await self._database.transact(work)
        if self.trusted_since() is None:
            self._trusted_from = sent_at
        self._trusted_until = sent_at + TRUST_SECONDS

    def _report_from_the_future(self, connection: Connection) -> None:
        ahead = owners.c.renewed_at > clock.now() + int(DEAD_SECONDS * clock.SECOND)
        for owner in connection.execute(select(owners.c.owner).where(ahead)).scalars():
            log.warning("a consumer's heartbeat has a time in the future and is ignored", owner=owner)

    def _write_row(self, connection: Connection) -> None:
        renewed = connection.execute(
            update(owners).where(owners.c.owner == self.owner).values(renewed_at=clock.now())
        )
        if renewed.rowcount == 0:  # new, or forgotten by another process while this one slept for a day
            connection.execute(
                insert(owners).values(owner=self.owner, name=self._name, renewed_at=clock.now())
            )
        self.clock.read(connection.execute(select(clock.now())).scalar_one())
