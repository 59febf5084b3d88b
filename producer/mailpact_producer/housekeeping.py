"""Deletes what has ended: unconfirmed accounts, sessions, links, counts. Every process of the site does it."""

import asyncio
from typing import Final, NoReturn

import structlog
from sqlalchemy import Connection

from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_producer.store import limits, links, login_delays, mails, outbox, sessions, users

FIRST_SECONDS: Final = 30.0
EVERY_SECONDS: Final = 300.0
MOST_USERS: Final = 500  # in one transaction
MOST_MESSAGES: Final = 5_000

log = structlog.get_logger()


async def keep_house(database: Database) -> NoReturn:
    """Delete what has ended, every five minutes, until cancelled."""
    await asyncio.sleep(FIRST_SECONDS)
    while True:
        try:
            count = await database.transact(clean)
        except DatabaseUnavailable:
            pass  # the relay reports it
        else:
            if count:
                log.info("accounts that nobody confirmed are deleted", count=count)
        await asyncio.sleep(EVERY_SECONDS)


def clean(connection: Connection) -> int:
    """Delete what has ended; return how many accounts that were."""
    sessions.purge(connection)
    links.purge(connection)
    limits.purge(connection)
    outbox.purge(connection, limit=MOST_MESSAGES)
    mails.purge(connection, limit=MOST_MESSAGES)
    login_delays.purge(connection)
    return users.remove_overdue(connection, limit=MOST_USERS)
