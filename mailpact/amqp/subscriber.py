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
from functools import partial
from typing import NoReturn

from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage

from mailpact.amqp.channels import RPC_SECONDS, open_channel
from mailpact.amqp.errors import BrokerError, BrokerLost, talking, why_closed
from mailpact.amqp.messages import Message
from mailpact.amqp.supervisor import Supervisor
from mailpact.settings import AmqpUrl

CANCEL_SECONDS = 2  # a stopping process waits no longer; the deliveries come back to the queue in any case

Declare = Callable[[AbstractConnection], Awaitable[None]]


class SettledTwice(Exception):
    """A delivery was settled a second time: a bug of the receiver; a broker would close the whole channel."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One message as delivered. `delivery_count` says how often it came back before (0 when not counted)."""

    message: Message
    exchange: str
    routing_key: str
    redelivered: bool
    delivery_count: int
    _tag: int
    _channel: AbstractChannel = field(repr=False)
    _is_settled: bool = field(default=False)

    async def ack(self) -> bool:
        """Tell the broker that the message is done with; False when its channel is gone, so it will come again."""
        if self._is_settled:
            raise SettledTwice(f"delivery {self._tag} was settled before")
        self._is_settled = True
        try:
            with talking():
                async with asyncio.timeout(RPC_SECONDS):
                    await self._channel.basic_ack(self._tag)
        except BrokerError:
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

    async def run(self) -> NoReturn:
        """Consume until cancelled. Raises TopologyMismatch, and what `receive` raises."""
        await self._supervisor.run(self._session)

    async def stop_receiving(self) -> None:
        """Hand over no more deliveries from now on; those that are out can still be acked."""
        self._is_stopping = True
        if self._consuming is not None:
            channel, tag = self._consuming
            with suppress(BrokerError), talking():
                async with asyncio.timeout(CANCEL_SECONDS):
                    await channel.basic_cancel(tag)

    async def _session(self, connection: AbstractConnection) -> NoReturn:
        await self._declare(connection)
        channel = await open_channel(connection)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel.on_consumer_cancel_callbacks.add(lambda _: None if over.done() else over.set_result(None))
        async with asyncio.timeout(RPC_SECONDS):
            await channel.basic_qos(prefetch_count=self._prefetch)
            if not self._is_stopping:
                consumed = await channel.basic_consume(self._queue, partial(self._deliver, over))
                self._consuming = channel, str(consumed.consumer_tag)
                self.started.set()
        self._supervisor.report_up()
        await self._until_over(channel, over)

    async def _until_over(self, channel: AbstractChannel, over: asyncio.Future[None]) -> NoReturn:
        closing = channel.closing
        try:
            await asyncio.wait({over, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._consuming = None
            self.started.clear()
            closing.cancel()
        if over.done():
            over.result()
        # Somebody deleted the queue, or the channel was closed: a new session declares and consumes again.
        why = "the queue was deleted" if over.done() else why_closed(closing)
        raise BrokerLost(f"the broker ended the consuming of {self._queue}: {why}")

    async def _deliver(self, over: asyncio.Future[None], delivered: DeliveredMessage) -> None:
        if self._is_stopping:
            return  # it is unsettled, so it goes back to the queue with the channel
        try:
            self._receive(_delivery(delivered))
        except Exception as error:  # noqa: BLE001  # the library would lose it in a log; the session raises it
            if not over.done():
                over.set_exception(error)


def _delivery(delivered: DeliveredMessage) -> Delivery:
    message = Message.received(delivered.body, delivered.header.properties)
    count = message.headers.get("x-delivery-count", 0)
    return Delivery(
        message=message,
        exchange=delivered.exchange or "",
        routing_key=delivered.routing_key or "",
        redelivered=bool(delivered.redelivered),
        delivery_count=count if isinstance(count, int) else 0,
        _tag=delivered.delivery_tag or 0,
        _channel=delivered.channel,
    )
