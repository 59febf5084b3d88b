"""Waits for a database server that is not there yet: a service may well be started before it.

A file is not waited for. What is wrong with it, such as a folder that is missing, does not mend itself.
"""

import asyncio
import random
from contextlib import suppress

import structlog

from mailpact.amqp.backoff import backoff_seconds
from mailpact.settings import DatabaseUrl

log = structlog.get_logger()


async def database_answers(url: DatabaseUrl, stopping: asyncio.Event) -> bool:
    """Wait until the server answers, for ever if need be; False when `stopping` came first."""
    from sqlalchemy import text

    from mailpact.database.engine import open_database
    from mailpact.database.transactions import DatabaseUnavailable

    if url.is_sqlite:
        return True
    failures = 0
    async with open_database(url) as database:
        while not stopping.is_set():
            try:
                await database.transact(lambda connection: connection.execute(text("SELECT 1")))
            except DatabaseUnavailable as error:
                failures += 1
                if failures == 1:
                    log.warning("database does not answer, trying again for ever", reason=str(error))
            else:
                if failures:
                    log.warning("database answers")
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_seconds(failures, random.uniform)):
                    await stopping.wait()
    return False
