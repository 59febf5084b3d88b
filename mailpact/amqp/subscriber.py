"""Takes deliveries from one queue, each to be settled by hand exactly once.

The library starts a task for every delivery and kills those tasks when the connection goes; a mail that is being
sent must not die with it. So a delivery is only handed over here, to a plain function that must not block, and is
worked on in tasks of the receiver's own. An ack on a channel that is gone is no error: the broker has already put
the message back and will deliver it again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import AMQPError

from mailpact.amqp.errors import BrokerLost
from mailpact.amqp.messages import Message
from mailpact.amqp.supervisor import Supervisor
from mailpact.settings import AmqpUrl

RPC_SECONDS = 10

Declare = Callable[[AbstractConnection], Awaitable[None]]


class SettledTwice(Exception):
    """A delivery was settled a second time: a bug of the receiver; a broker would close the whole channel."""


@dataclass(slots=True)
class Delivery:
    """One message as delivered. `delivery_count` says how often it came back before (0 when not counted)."""

    message: Message
    exchange: str
    routing_key: str
    redelivered: bool
    delivery_count: int
    _tag: int
    _channel: AbstractChannel
    _is_settled: bool = field(default=False)

    async def ack(self) -> bool:
        """Tell the broker that the message is done with; False when its channel is gone, so it will come again."""
        if self._is_settled:
            raise SettledTwice(f"delivery {self._tag} was settled before")
        self._is_settled = True
        try:
            async with asyncio.timeout(RPC_SECONDS):
                await self._channel.basic_ack(self._tag)
        except (AMQPError, OSError, TimeoutError):
            return False
        return True


class Subscriber:
    """A supervised connection of its own that consumes one queue with at most `prefetch` unsettled deliveries."""

    def __init__(
        self,
        url: AmqpUrl,
        role: str,
        *,
        queue: str,
        prefetch: int,
        declare: Declare,
        receive: Callable[[Delivery], None],
    ) -> None:
        self._supervisor = Supervisor(url, role)
        self._queue = queue
        self._prefetch = prefetch
        self._declare = declare
        self._receive = receive
        self._consuming: tuple[AbstractChannel, str] | None = None
        self._is_stopping = False
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Consume until cancelled. Raises TopologyMismatch."""
        await self._supervisor.run(self._session)

    async def stop_receiving(self) -> None:
        """Ask for no more deliveries; those that are out can still be acked."""
        self._is_stopping = True
        if self._consuming is not None:
            channel, tag = self._consuming
            with suppress(AMQPError, OSError, TimeoutError):
                await channel.basic_cancel(tag, timeout=RPC_SECONDS)

    async def _session(self, connection: AbstractConnection) -> None:
        await self._declare(connection)
        async with asyncio.timeout(RPC_SECONDS):
            channel = await connection.channel(publisher_confirms=False)
            await channel.basic_qos(prefetch_count=self._prefetch)
        cancelled = asyncio.Event()
        channel.on_consumer_cancel_callbacks.add(lambda _: cancelled.set())
        if not self._is_stopping:
            consumed = await channel.basic_consume(self._queue, self._deliver, timeout=RPC_SECONDS)
            self._consuming = channel, str(consumed.consumer_tag)
            self.started.set()
        await self._until_over(channel, cancelled)

    async def _until_over(self, channel: AbstractChannel, cancelled: asyncio.Event) -> None:
        cancel = asyncio.create_task(cancelled.wait())
        closing = channel.closing
        try:
            await asyncio.wait({cancel, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._consuming = None
            self.started.clear()
            cancel.cancel()
            closing.cancel()
        # Somebody deleted the queue, or the channel was closed: a new session declares and consumes again.
        raise BrokerLost(f"the broker ended the consuming of {self._queue}")

    async def _deliver(self, delivered: DeliveredMessage) -> None:
        message = Message.received(delivered.body, delivered.header.properties)
        count = message.headers.get("x-delivery-count", 0)
        self._receive(
            Delivery(
                message=message,
                exchange=delivered.exchange or "",
                routing_key=delivered.routing_key or "",
                redelivered=bool(delivered.redelivered),
                delivery_count=count if isinstance(count, int) else 0,
                _tag=delivered.delivery_tag or 0,
                _channel=delivered.channel,
            )
        )
