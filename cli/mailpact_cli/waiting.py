"""Waits for a database server that does not answer yet, because a service may be started before the server.

The command does not wait for an SQLite file, because an error such as a missing folder does not go away by itself.
"""

import asyncio
import random
from contextlib import suppress

from mailpact.amqp.backoff import backoff_seconds
from mailpact.outage import Outage
from mailpact.settings import DatabaseUrl


async def database_answers(url: DatabaseUrl, stopping: asyncio.Event) -> bool:
    """Wait until the server answers, without a limit; return False if `stopping` was set first."""
    from sqlalchemy import text

    from mailpact.database.engine import open_database
    from mailpact.database.transactions import DatabaseRefused, DatabaseUnavailable

    if url.is_sqlite:
        return True
    failures = 0
    outage = Outage("database")
    async with open_database(url) as database:
        while not stopping.is_set():
            try:
                await database.transact(lambda connection: connection.execute(text("SELECT 1")))
            except DatabaseUnavailable as error:
                failures += 1
                outage.report(str(error), is_refused=isinstance(error, DatabaseRefused))
            else:
                outage.end()
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_seconds(failures, random.uniform)):
                    await stopping.wait()
    return False
