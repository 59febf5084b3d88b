"""Asks the consumers' database."""

import asyncio
from typing import Final

from sqlalchemy import Connection, func, inspect, select, text

from mailpact.database import clock
from mailpact.database.engine import open_database
from mailpact.database.migrate import only_adds
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.settings import DatabaseUrl
from mailpact_cli.screen.situation import Inbox, Unknown
from mailpact_consumer.decide import State
from mailpact_consumer.liveness import is_alive
from mailpact_consumer.metrics import counts
from mailpact_consumer.schema import HEAD, VERSION_TABLE, inbox, owners

ANSWER_SECONDS: Final = 5.0
RATE_SECONDS: Final = 60


class InboxWatch:
    """The consumers' database, to be looked at again and again on the same connections."""

    def __init__(self, url: DatabaseUrl) -> None:
        self._url = url
        self._database: Database | None = None

    async def look(self) -> Inbox | Unknown:
        """Ask the database within 5 seconds."""
        if self._url.is_sqlite and not self._url.path.is_file():
            return Unknown(f"{self._url.path} is not there; give the consumers' --inbox-url")
        if self._database is None:
            self._database = open_database(self._url)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._database.transact(_read)
        except TimeoutError:
            return Unknown(f"{self._url}: no answer in time")
        except DatabaseUnavailable as error:
            return Unknown(str(error))

    async def close(self) -> None:
        """Close the connections."""
        if self._database is not None:
            await self._database.close()


def _read(connection: Connection) -> Inbox | Unknown:
    if not inspect(connection).has_table(VERSION_TABLE):
        return Unknown("no consumer has made its tables in this database yet")
    # The table's name is a constant of ours, not input; names cannot be parameters.
    revision = str(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar())  # noqa: S608  # see above
    if revision != HEAD and not only_adds(revision, to=HEAD):
        return Unknown(f"its tables have revision {revision} of another release; mailpact doctor says more")
    oldest, deferred, overdue, _ = counts(connection)
    ended_after = clock.now() - RATE_SECONDS * clock.SECOND
    ended = select(inbox.c.state, func.count()).where(inbox.c.ended_at > ended_after)
    ends = {state: int(count) for state, count in connection.execute(ended.group_by(inbox.c.state)).all()}
    alive = select(owners.c.name).where(is_alive()).order_by(owners.c.name)
    is_sqlite = connection.dialect.name == "sqlite"
    version = connection.execute(text(f"SELECT {'sqlite_version' if is_sqlite else 'version'}()")).scalar()
    return Inbox(
        server=f"SQLite {version}" if is_sqlite else str(version),
        revision=revision,
        consumers=[str(name) for name in connection.execute(alive).scalars()],
        oldest_seconds=oldest,
        deferred=deferred,
        overdue=overdue,
        sent=ends.get(State.SENT, 0),
        failed=ends.get(State.FAILED, 0),
        expired=ends.get(State.EXPIRED, 0),
    )
