"""Reads the queue `logs.all`: first the waiting records, then new records."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from mailpact.amqp.channels import RPC_SECONDS, open_channel
from mailpact.amqp.errors import BrokerLost, talking, why_closed
from mailpact.amqp.messages import Message
from mailpact_cli.errors import LogQueueMissing

QUEUE: Final = "logs.all"
EXCHANGE: Final = "logs"
QUIET_SECONDS: Final = 2.0  # after this time without a delivery, another program has taken the rest


async def look_for_queue(connection: AbstractConnection) -> None:
    """Raise LogQueueMissing if the broker has no queue for log records."""
    channel = await open_channel(connection)
    async with asyncio.timeout(RPC_SECONDS):
        await _count(channel, QUEUE)
        await channel.close()


async def waiting(connection: AbstractConnection) -> list[Message]:
    """Return the messages in the queue now, in order. All of them stay in the queue.

    Raises LogQueueMissing, BrokerLost.
    """
    with talking():
        channel = await open_channel(connection)
        async with asyncio.timeout(RPC_SECONDS):
            count = await _count(channel, QUEUE)
        taken = [message async for message in _taken(channel, QUEUE, count)]
        async with asyncio.timeout(RPC_SECONDS):
            await channel.close()  # the broker puts all messages back at their positions
        return taken


async def following(connection: AbstractConnection) -> AsyncIterator[Message]:
    """Yield the messages in the queue, and then new messages without end. Raises LogQueueMissing, BrokerLost."""
    with talking():
        channel = await open_channel(connection)
        async with asyncio.timeout(RPC_SECONDS):
            own = (await channel.queue_declare("", exclusive=True, auto_delete=True)).queue or ""
            try:
                await channel.queue_bind(own, EXCHANGE, "#")
            except ChannelNotFoundEntity:
                raise LogQueueMissing("exchange", EXCHANGE) from None
    # From now on new messages are in both queues, but each message is shown once.
    try:
        old = await waiting(connection)
    except LogQueueMissing:
        old = []  # only new messages can be shown
    for message in old:
        yield message
    with talking():
        async with asyncio.timeout(RPC_SECONDS):
            in_both = await _count(channel, own)
        seen = Counter(message.body for message in old)
        del old
        queue: asyncio.Queue[Message] = asyncio.Queue()
        await channel.basic_consume(own, _into(queue), no_ack=True)
        closing = channel.closing
        while True:
            message = await _next(queue, closing)
            in_both -= 1
            if in_both >= 0 and seen[message.body]:
                seen[message.body] -= 1
                continue
            yield message


async def _taken(channel: AbstractChannel, name: str, count: int) -> AsyncIterator[Message]:
    """Yield as many messages of a queue, unacknowledged; fewer if another program has taken the rest."""
    if not count:
        return
    queue: asyncio.Queue[Message] = asyncio.Queue()
    closing = channel.closing
    async with asyncio.timeout(RPC_SECONDS):
        await channel.basic_consume(name, _into(queue))
    for _ in range(count):
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                message = await _next(queue, closing)
        except TimeoutError:
            return
        yield message


def _into(queue: "asyncio.Queue[Message]") -> Callable[[DeliveredMessage], Coroutine[Any, Any, None]]:
    async def take(delivered: DeliveredMessage) -> None:
        queue.put_nowait(Message.received(delivered.body, delivered.header.properties))

    return take


async def _next(queue: "asyncio.Queue[Message]", closing: "asyncio.Future[None]") -> Message:
    """Return the next delivery; raise BrokerLost if the channel was closed before it."""
    if not queue.empty():
        return queue.get_nowait()
    getting: asyncio.Future[Message] = asyncio.ensure_future(queue.get())
    either: set[asyncio.Future[Any]] = {getting, closing}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            raise BrokerLost(why_closed(closing))
        return getting.result()
    finally:
        getting.cancel()


async def _count(channel: AbstractChannel, name: str) -> int:
    try:
        return (await channel.queue_declare(name, passive=True)).message_count or 0
    except ChannelNotFoundEntity:
        raise LogQueueMissing("queue", name) from None
