"""Opens channels: the one place that knows how long a broker may take to answer a request."""

import asyncio

from aiormq.abc import AbstractChannel, AbstractConnection

from mailpact.amqp.errors import BrokerLost

RPC_SECONDS = 10  # aiormq itself would wait for ever; its own `timeout=` can lose a cancellation (bpo-37658)


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> AbstractChannel:
    """Open a channel within 10 seconds; it ends with its connection. Raises BrokerLost, TimeoutError, AMQPError."""
    if connection.is_closed:
        # aiormq would raise a bare RuntimeError, which nobody can tell from a bug.
        raise BrokerLost("the connection was closed")
    async with asyncio.timeout(RPC_SECONDS):
        return await connection.channel(publisher_confirms=confirms)
