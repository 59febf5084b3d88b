"""Opens channels, consumes and publishes on a channel, and limits how long the broker may take to answer."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

from aiormq.abc import AbstractChannel, AbstractConnection, ChannelFrame, DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import ChannelInvalidStateError, ChannelLockedResource, ChannelNotFoundEntity
from pamqp.commands import Basic

from mailpact.amqp.batch import send
from mailpact.amqp.errors import BrokerLost, talking
from mailpact.amqp.messages import Outcome, Routed
from mailpact.amqp.transport import Connection, Receive

RPC_SECONDS = 10  # aiormq itself would wait for ever; its own `timeout=` can lose a cancellation (bpo-37658)
LARGEST_PREFETCH = 65_535  # the largest number that the protocol can carry there


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> AbstractChannel:
    """Open a channel within 10 seconds; it ends with its connection. Raises BrokerLost, TimeoutError, AMQPError."""
    if connection.is_closed:
        # aiormq would raise a bare RuntimeError, which cannot be told from a bug.
        raise BrokerLost("the connection was closed")
    async with asyncio.timeout(RPC_SECONDS):
        return await connection.channel(publisher_confirms=confirms)


async def consume(channel: AbstractChannel, queue: str, receive: Receive) -> str:
    """Start consuming a queue on a channel whose prefetch is set; return the consumer's tag. Raises as aiormq does.

    `receive` gets every delivery on the channel; the channel belongs to one of our connections.
    """
    cast(Connection, channel.connection).frames.receivers[channel.number] = receive
    server = channel.connection.server_properties
    if server.get("product") == "RabbitMQ" and str(server.get("version")).startswith("3."):
        return await _consume_until_deleted(channel, queue)
    return str((await channel.basic_consume(queue, _deliver_nothing)).consumer_tag)


async def _consume_until_deleted(channel: AbstractChannel, queue: str) -> str:
    # When a quorum queue is deleted and declared again at once, RabbitMQ 3 renews the subscription by itself, and then
    # drops in its channel what it should deliver. It cannot do so on a channel that has a limit of its own, and then
    # cancels the consumer, as RabbitMQ 4 does in any case. Consuming must begin without the limit. The limit follows
    # at once, without waiting for the broker's answer: a queue deleted between the two would be renewed.
    await channel.basic_qos(prefetch_count=0, global_=True)
    tag, concrete = uuid.uuid4().hex, cast(Channel, channel)
    concrete.consumers[tag] = _deliver_nothing
    await concrete.rpc(Basic.Consume(queue=queue, consumer_tag=tag, nowait=True))
    await channel.basic_qos(prefetch_count=LARGEST_PREFETCH, global_=True)
    return tag


async def _deliver_nothing(_: DeliveredMessage) -> None:
    """Do nothing: the connection passes deliveries on before aiormq sees them."""


async def send_together(channel: AbstractChannel, acks: Sequence[Basic.Ack]) -> None:
    """Send acks as one write, and wait until they are written. Raises AMQPError."""
    if channel.is_closed:
        raise ChannelInvalidStateError("the channel is closed")
    concrete = cast(Channel, channel)
    written = concrete.create_future()
    await concrete.write_queue.put(
        ChannelFrame.marshall(channel_number=channel.number, frames=acks, drain_future=written)
    )
    await written


@asynccontextmanager
async def short_channel(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """Open a channel for some requests and close it; the requests together may take 10 seconds.

    A request that the broker refuses closes its channel, and no other channel. Raises as `open_channel` does.
    """
    channel = await open_channel(connection)
    async with asyncio.timeout(RPC_SECONDS):
        yield channel
        await channel.close()


async def look_at(connection: AbstractConnection, queue: str) -> tuple[int, int] | None:
    """Return a queue's ready messages and consumers, None if it cannot be used. Raises as `open_channel` does."""
    try:
        async with short_channel(connection) as channel:
            found = await channel.queue_declare(queue, passive=True)
    except (ChannelNotFoundEntity, ChannelLockedResource):
        return None
    return int(found.message_count or 0), int(found.consumer_count or 0)


async def publish(channel: AbstractChannel, routed: Routed, seconds: float) -> Outcome:
    """Publish a message on a channel with confirms, and wait at most `seconds` for the broker's answer.

    Returns UNKNOWN if no answer came in time; later confirms cannot be trusted then. Raises BrokerError, ValueError.
    """
    if routed.mandatory and not routed.message.message_id:
        raise ValueError("a mandatory message needs an id, by which its return is recognised")
    outcomes = [Outcome.UNKNOWN]
    with talking(), suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await send(channel, [routed], outcomes)
    return outcomes[0]
