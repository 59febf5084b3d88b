"""Opens channels, publishes one message on a channel, and limits how long the broker may take to answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import DeliveryError, PublishError

from mailpact.amqp.errors import BrokerLost, talking
from mailpact.amqp.messages import Message
from mailpact.amqp.outcome import Outcome

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


async def publish(
    channel: AbstractChannel,
    message: Message,
    *,
    exchange: str,
    routing_key: str = "",
    mandatory: bool = True,
    seconds: float,
) -> Outcome:
    """Publish a message on a channel with confirms, and wait at most `seconds` for the broker's answer.

    Returns UNKNOWN if no answer came in time; later confirms on the channel cannot be trusted then. Raises BrokerError.
    """
    with talking():
        try:
            await channel.basic_publish(
                message.body,
                exchange=exchange,
                routing_key=routing_key,
                properties=message.properties(),
                mandatory=mandatory,
                timeout=seconds,
            )
        except PublishError:
            return Outcome.UNROUTABLE
        except DeliveryError:
            return Outcome.NACKED
        except TimeoutError:
            return Outcome.UNKNOWN
    return Outcome.CONFIRMED
