"""Connects a command to the broker for a short time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mailpact.settings import AmqpUrl

if TYPE_CHECKING:
    from aiormq.abc import AbstractConnection

DIAL_SECONDS = 5  # a command ends within ten seconds; starting and stopping also take time on a busy machine


@asynccontextmanager
async def connected(
    url: AmqpUrl, role: str, seconds: float = DIAL_SECONDS
) -> "AsyncIterator[AbstractConnection]":
    """Yield a connection to the broker (to the first node that accepts it), and close it at the end.

    Raises BrokerUnreachable if there is no connection within the time or if the connection is lost, and AccessRefused.
    """
    from mailpact.amqp.errors import BrokerLost, BrokerUnreachable
    from mailpact.amqp.supervisor import dial, hang_up

    connection = await dial(url, role, seconds)
    try:
        yield connection
    except BrokerLost as error:
        raise BrokerUnreachable(f"the connection to the broker was lost: {error}") from error
    finally:
        await hang_up(connection)
