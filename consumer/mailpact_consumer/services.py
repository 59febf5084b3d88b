"""The services that a try uses: inbox, mail server, broker."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mailpact.telemetry import Journey
from mailpact_consumer.deliver import MailServer, Transaction
from mailpact_consumer.inbox import Inbox
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.server_watch import ServerWatch
from mailpact_consumer.settings import ConsumerSettings
from mailpact_consumer.settle import Settlement


@dataclass(frozen=True, slots=True)
class Services:
    """The services that a try uses. `utc_now` returns the time by the database's clock, with a time zone."""

    inbox: Inbox
    liveness: Liveness
    mail_server: MailServer
    watch: ServerWatch
    settlement: Settlement
    journey: Journey
    settings: ConsumerSettings
    new_id: Callable[[], str]
    utc_now: Callable[[], datetime]
    in_data: set[Transaction]
    """The transactions that wait for the answer to a whole mail. At its deadline a stop closes them."""


async def cut(transactions: set[Transaction]) -> None:
    """Close transactions that wait for the answer to a whole mail. Each try then records an unknown outcome."""
    for transaction in list(transactions):
        transaction.session.connection.close()
    await asyncio.sleep(0)
