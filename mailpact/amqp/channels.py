"""Opens channels, and limits how long the broker may take to answer a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiormq.abc import AbstractChannel, AbstractConnection

from mailpact.amqp.errors import BrokerLost

RPC_SECONDS = 10  # aiormq itself would wait for ever; its own `timeout=` can lose a cancellation (bpo-37658)


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> AbstractChannel:
    """Open a channel within 10 seconds; it ends with its connection. Raises BrokerLost, TimeoutError, AMQPError."""
    if connection.is_closed:
        # aiormq would raise a bare RuntimeError, which cannot be told from a bug.
        raise BrokerLost("the connection was closed")
    async with asyncio.timeout(RPC_SECONDS):
        return await connection.channel(publisher_confirms=confirms)


@asynccontextmanager
async def short_channel(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """Open a channel for some requests and close it; the requests together may take 10 seconds.

    A request that the broker refuses closes its channel, and no other channel. Raises as `open_channel` does.
    """
    channel = await open_channel(connection)
    async with asyncio.timeout(RPC_SECONDS):
        yield channel
        await channel.close()
