"""Publishes with confirms and `mandatory`, and says honestly what became of each message.

A publish has five ends, and only one of them means that the broker has the message. The one that costs mail when it
is mistaken for another is UNKNOWN: under a memory alarm both of two publishes that had timed out were found in the
queue afterwards. Whoever gets it publishes again with the same message id.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPError, DeliveryError, PublishError

from mailpact.amqp.errors import BrokerLost, talking
from mailpact.amqp.messages import Message
from mailpact.amqp.supervisor import Supervisor
from mailpact.settings import AmqpUrl

WINDOW = 128  # unconfirmed publishes at once: one at a time makes 520 a second, 128 make 2,280 (quorum queue)
CONFIRM_SECONDS = 10
BLOCKED_SECONDS = 0.05  # a connection that is not blocked is ready at once
OPEN_CHANNEL_SECONDS = 10

log = structlog.get_logger()

Declare = Callable[[AbstractConnection], Awaitable[None]]


class Outcome(StrEnum):
    """What became of one publish."""

    CONFIRMED = "confirmed"  # the broker has taken responsibility
    UNROUTABLE = "unroutable"  # returned: no queue is bound for it
    NACKED = "nacked"  # the broker says that it could not take it
    NOT_SENT = "not_sent"  # no connection, or the broker is blocking; certainly not published
    UNKNOWN = "unknown"  # sent, but no answer: it may be in the queue


class Publisher:
    """A supervised connection of its own for publishing: a blocked publisher must not stop anybody's acks."""

    def __init__(self, url: AmqpUrl, role: str, *, declare: Declare) -> None:
        self._supervisor = Supervisor(url, role)
        self._declare = declare
        self._window = asyncio.Semaphore(WINDOW)
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._opened = asyncio.Event()
        self._spoiled = asyncio.Event()
        self._ids: set[str] = set()

    async def run(self) -> None:
        """Keep a channel open until cancelled. Raises TopologyMismatch."""
        await self._supervisor.run(self._session)

    async def wait_until_open(self) -> None:
        """Return as soon as there is a channel to publish on."""
        await self._opened.wait()

    async def publish(self, message: Message, *, exchange: str, routing_key: str = "") -> Outcome:
        """Publish one message and wait at most 10 seconds for the broker's word on it.

        The message needs an id. A second publish with an id that is still in flight is NOT_SENT: a returned message is
        told from others by its id alone.
        """
        message_id = message.message_id
        if not message_id:
            raise ValueError("a message without an id cannot be published: its return could not be told")
        async with self._window:
            connection, channel = self._connection, self._channel
            if connection is None or channel is None or message_id in self._ids:
                return Outcome.NOT_SENT
            self._ids.add(message_id)
            try:
                return await self._publish(connection, channel, message, exchange, routing_key)
            finally:
                self._ids.discard(message_id)

    async def _publish(
        self,
        connection: AbstractConnection,
        channel: AbstractChannel,
        message: Message,
        exchange: str,
        routing_key: str,
    ) -> Outcome:
        if not await _is_ready(connection):
            return Outcome.NOT_SENT
        try:
            with talking():
                await channel.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message.properties(),
                    mandatory=True,
                    timeout=CONFIRM_SECONDS,
                )
        except BrokerLost as error:
            if isinstance(error.__cause__, PublishError):
                return Outcome.UNROUTABLE
            if isinstance(error.__cause__, DeliveryError):
                return Outcome.NACKED
            self._spoiled.set()
            return Outcome.UNKNOWN
        return Outcome.CONFIRMED

    async def _session(self, connection: AbstractConnection) -> None:
        await self._declare(connection)
        while True:
            async with asyncio.timeout(OPEN_CHANNEL_SECONDS):
                channel = await connection.channel(publisher_confirms=True)
            await self._keep_open(connection, channel)

    async def _keep_open(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        """Offer the channel to publishers until it closes or one of them got no answer on it.

        After an unanswered publish the channel's later confirms cannot be trusted to be matched, so it is replaced.
        """
        self._connection, self._channel = connection, channel
        self._spoiled.clear()
        self._opened.set()
        spoiled = asyncio.create_task(self._spoiled.wait())
        closing = channel.closing
        try:
            await asyncio.wait({spoiled, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connection = self._channel = None
            self._opened.clear()
            spoiled.cancel()
            closing.cancel()
        if not channel.is_closed:
            async with asyncio.timeout(OPEN_CHANNEL_SECONDS):
                await channel.close()


async def _is_ready(connection: AbstractConnection) -> bool:
    try:
        async with asyncio.timeout(BLOCKED_SECONDS):
            await connection.ready()
    except TimeoutError:
        return False
    except AMQPError:
        return False
    return True
