"""Deletes expired data: unconfirmed accounts, sessions, links, counts, old entries of the audit log.

Every process of the site does this.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

import structlog
from sqlalchemy import Connection

from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_producer.store import audit_log, limits, links, login_delays, mails, outbox, sessions, users

FIRST_SECONDS: Final = 30.0
EVERY_SECONDS: Final = 300.0
MOST_USERS: Final = 500  # deleted in one transaction
MOST_MESSAGES: Final = 5_000
MOST_ENTRIES: Final = 5_000

_PURGES: Final[tuple[Callable[[Connection], int], ...]] = (
    sessions.purge,
    links.purge,
    limits.purge,
    partial(outbox.purge, limit=MOST_MESSAGES),
    partial(mails.purge, limit=MOST_MESSAGES),
    login_delays.purge,
    partial(audit_log.purge, limit=MOST_ENTRIES),
)

log = structlog.get_logger()


async def keep_house(database: Database) -> NoReturn:
    """Delete expired data every five minutes, until cancelled."""
    await asyncio.sleep(FIRST_SECONDS)
    while True:
        try:
            count = await clean(database)
        except DatabaseUnavailable:
            pass  # the relay reports it
        else:
            if count:
                log.info("accounts that nobody confirmed are deleted", count=count)
        await asyncio.sleep(EVERY_SECONDS)


async def clean(database: Database) -> int:
    """Delete expired data, in a transaction for each table; return the number of deleted accounts.

    Raises DatabaseUnavailable.
    """
    for purge in _PURGES:
        await database.transact(purge)
    return await database.transact(partial(users.remove_overdue, limit=MOST_USERS))
