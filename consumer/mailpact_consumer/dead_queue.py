"""Reads the queue of dead letters, and removes selected letters.

A letter that is only read stays unacknowledged until the walk ends. Then its channel is closed, and the broker puts
the letter back at its position. The queue's delivery limit is so high that reading never deletes a letter. A walk
reads only as many letters as the queue had at the start, so a replayed message that is refused again is not read
twice.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from mailpact.amqp.channels import RPC_SECONDS, open_channel, publish
from mailpact.amqp.errors import BrokerLost, talking
from mailpact.amqp.messages import Message, Outcome, Routed
from mailpact_consumer.dead_letter import DeadLetter, read_letter
from mailpact_consumer.queues import DEAD_QUEUE, REQUEUE_EXCHANGE


class DeadQueueMissing(Exception):
    """The broker has no queue of dead letters."""


class ReplayStopped(Exception):
    """The broker did not accept a replayed message. Its letter stays in the queue."""


class DeadQueue:
    """The letters of one walk. `waiting` is the largest number of letters that the walk reads."""

    def __init__(self, channel: AbstractChannel, waiting: int) -> None:
        self._channel = channel
        self.waiting = waiting

    async def letters(self) -> AsyncIterator[tuple[int, DeadLetter]]:
        """Yield each letter with the delivery tag for `take_out`, the oldest letter first. Raises BrokerLost."""
        for _ in range(self.waiting):
            with talking():
                async with asyncio.timeout(RPC_SECONDS):
                    got = await self._channel.basic_get(DEAD_QUEUE)
            if got.delivery_tag is None:  # another program has taken the other letters
                return
            yield got.delivery_tag, read_letter(Message.received(got.body, got.header.properties))

    async def take_out(self, tag: int) -> None:
        """Remove a letter from the queue for good. Raises BrokerLost."""
        with talking():
            async with asyncio.timeout(RPC_SECONDS):
                await self._channel.basic_ack(tag)


@asynccontextmanager
async def dead_queue(connection: AbstractConnection) -> AsyncIterator[DeadQueue]:
    """Open a walk through the letters; raise DeadQueueMissing, BrokerLost.

    At the end all other letters are put back.
    """
    channel = await open_channel(connection)
    try:
        async with asyncio.timeout(RPC_SECONDS):
            declared = await channel.queue_declare(DEAD_QUEUE, passive=True)
    except ChannelNotFoundEntity:
        raise DeadQueueMissing(
            f"the broker has no queue {DEAD_QUEUE}; start a consumer once, or run mailpact topology apply"
        ) from None
    yield DeadQueue(channel, declared.message_count or 0)
    # The broker answers the close after all earlier commands, so after the answer the letters are certainly removed.
    with talking():
        async with asyncio.timeout(RPC_SECONDS):
            await channel.close()


class Replay:
    """Publishes messages again. Take a letter out only after the broker has confirmed its message."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    @classmethod
    async def on(cls, connection: AbstractConnection) -> "Replay":
        """Open a channel with confirms. Use another connection than the connection that reads the letters."""
        return cls(await open_channel(connection, confirms=True))

    async def publish(self, message: Message) -> None:
        """Publish one message and wait for its confirm; raise ReplayStopped, BrokerLost."""
        try:
            outcome = await publish(self._channel, Routed(message, REQUEUE_EXCHANGE), RPC_SECONDS)
        except BrokerLost as error:
            if "NOT_FOUND" not in str(error):
                raise
            outcome = Outcome.UNROUTABLE  # the exchange does not exist, so the broker closed the channel
        if outcome is Outcome.UNROUTABLE:
            raise ReplayStopped(
                f"exchange {REQUEUE_EXCHANGE} has no queue; start a consumer once, or run mailpact topology apply"
            )
        if outcome is Outcome.NACKED:
            raise ReplayStopped("the broker refuses the message: the queue email.work is full")
        if outcome is Outcome.UNKNOWN:
            raise ReplayStopped(
                f"the broker did not confirm within {RPC_SECONDS} seconds; it may be blocked by an alarm. "
                "The letter was kept, and may have been replayed"
            )
