"""Consumes one queue. The receiver settles each delivery exactly once.

The subscriber passes each delivery to a function, which must not block. The receiver works in tasks of its own, so that
a mail that is being sent is not cancelled when the connection is lost. An ack on a closed channel is no error: the
broker has put the message back into the queue and delivers it again.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import NoReturn

import structlog
from aiormq.abc import AbstractChannel, AbstractConnection
from pamqp.commands import Basic

from mailpact.amqp.channels import RPC_SECONDS, consume, look_at, open_channel, send_together
from mailpact.amqp.errors import BrokerError, BrokerLost, talking, why_closed
from mailpact.amqp.messages import Message
from mailpact.amqp.supervisor import Supervisor
from mailpact.amqp.topology import Declare
from mailpact.amqp.transport import Delivered
from mailpact.amqp.watchdog import LOOK_SECONDS, Watchdog
from mailpact.settings import AmqpUrl

CANCEL_SECONDS = 2  # a stopping process waits no longer; the deliveries return to the queue in any case

log = structlog.get_logger()


class SettledTwice(Exception):
    """A bug in the receiver: a delivery was settled twice, for which the broker would close the whole channel."""


class Acks:
    """Sends the acks of one channel in groups. Acks of the same moment go out in order, most of them in one frame."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.unsettled: dict[int, None] = {}  # in the order of the tags
        self._to_ack: set[int] = set()
        self._flushing: asyncio.Task[bool] | None = None
        self._writing = asyncio.Lock()

    def delivery(self, delivered: Delivered) -> "Delivery":
        """Record a delivery, in the order of the tags, and return it."""
        tag, redelivered, exchange, routing_key, message = delivered
        self.unsettled[tag] = None
        return Delivery(message, exchange, routing_key, redelivered, tag, self)

    async def ack(self, tag: int) -> bool:
        """Ack a delivery; return False if its channel is closed."""
        self._to_ack.add(tag)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        return await asyncio.shield(self._flushing)

    async def refuse(self, tag: int, *, requeue: bool) -> bool:
        """Return a delivery to its queue, or reject it as a dead letter; return False if its channel is closed."""
        try:
            with talking():
                async with asyncio.timeout(RPC_SECONDS):
                    if requeue:  # RabbitMQ 4.3 counts a reject towards the delivery limit, but not a nack
                        await self.channel.basic_nack(tag, requeue=True)
                    else:
                        await self.channel.basic_reject(tag, requeue=False)
        except BrokerError:
            return False
        # Only now, because an ack of several deliveries must not include this delivery.
        self.unsettled.pop(tag, None)
        return True

    async def _flush(self) -> bool:
        await asyncio.sleep(0)  # acks of this round of the event loop join the group
        # One group at a time, because an ack of several deliveries includes those that an earlier group has not acked.
        async with self._writing:
            self._flushing, tags = None, self._to_ack
            self._to_ack = set()
            first = list(takewhile(tags.__contains__, self.unsettled))
            for tag in tags:
                self.unsettled.pop(tag, None)
            return await self._write(first, sorted(tags.difference(first)))

    async def _write(self, first: list[int], later: list[int]) -> bool:
        frames = [Basic.Ack(first[-1], multiple=len(first) > 1)] if first else []
        frames += [Basic.Ack(tag) for tag in later]
        try:
            with talking():
                async with asyncio.timeout(RPC_SECONDS):
                    await send_together(self.channel, frames)
        except BrokerError:
            return False
        return True


@dataclass(slots=True, eq=False)
class Delivery:
    """One delivered message."""

    message: Message
    exchange: str
    routing_key: str
    redelivered: bool
    _tag: int
    _acks: Acks = field(repr=False)
    _is_settled: bool = False

    @property
    def delivery_count(self) -> int:
        """Return how often the message was returned to its queue; 0 if unknown."""
        count = self.message.headers.get("x-delivery-count")
        return count if isinstance(count, int) else 0

    async def ack(self) -> bool:
        """Acknowledge the message; return False if its channel is closed: the message will be delivered again."""
        self._settle()
        return await self._acks.ack(self._tag)

    async def requeue(self) -> bool:
        """Return the message to its queue, which may count towards the delivery limit; return False as `ack`."""
        self._settle()
        return await self._acks.refuse(self._tag, requeue=True)

    async def reject(self) -> bool:
        """Reject the message, so that the broker dead-letters it; return False as `ack`."""
        self._settle()
        return await self._acks.refuse(self._tag, requeue=False)

    def _settle(self) -> None:
        if self._is_settled:
            raise SettledTwice(f"delivery {self._tag} was settled before")
        self._is_settled = True


class Subscriber:
    """Consumes one queue on a supervised connection of its own, with at most `prefetch` unsettled deliveries."""

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
        self.queue = queue
        self._prefetch = prefetch
        self._declare = declare
        self._receive = receive
        self._consuming: tuple[AbstractChannel, str] | None = None
        self._is_stopping = False
        self._is_paused = False
        self._changed = asyncio.Event()
        self._watchdog = Watchdog()
        self._delivered = 0
        self.started = asyncio.Event()

    async def run(self) -> NoReturn:
        """Consume until cancelled. Raises TopologyMismatch, and what `receive` raises."""
        await self._supervisor.run(self._session)

    def pause(self) -> None:
        """Stop the broker from delivering until `resume`; earlier deliveries can still be settled."""
        self._is_paused = True
        self._changed.set()

    def resume(self) -> None:
        """Consume again after `pause`."""
        self._is_paused = False
        self._changed.set()

    async def stop_receiving(self) -> None:
        """Stop receiving deliveries; earlier deliveries can still be acknowledged."""
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
        acks = Acks(channel)
        watching = asyncio.create_task(self._watch(acks, over))
        try:
            await self._until_over(acks, over)
        finally:
            watching.cancel()

    async def _adjust(self, acks: Acks, over: asyncio.Future[None]) -> None:
        """Start or cancel consuming, as `pause`, `resume` and `stop_receiving` have requested."""
        self._changed.clear()
        wanted = not (self._is_stopping or self._is_paused)
        async with asyncio.timeout(RPC_SECONDS):
            if wanted and self._consuming is None:
                tag = await consume(acks.channel, self.queue, partial(self._deliver, acks, over))
                self._consuming = acks.channel, tag
                self._watchdog.forget()
                self.started.set()
                log.info("consuming has begun", queue=self.queue)
            elif self._is_paused and not self._is_stopping and self._consuming is not None:
                _, tag = self._consuming
                self._consuming = None
                await acks.channel.basic_cancel(tag)
                self.started.clear()

    async def _watch(self, acks: Acks, over: asyncio.Future[None]) -> NoReturn:
        """End the session when the broker has lost the subscription without saying so."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            consuming, found = self._consuming, None
            if consuming is None or self._is_stopping:
                continue
            with suppress(BrokerError), talking():
                found = await look_at(acks.channel.connection, self.queue) or (0, 0)
            if found is None or self._consuming is not consuming:
                continue  # the broker is busy or lost, or consuming was paused meanwhile
            ready, consumers = found
            has_room = len(acks.unsettled) < self._prefetch
            why = self._watchdog.why_lost(
                ready=ready, consumers=consumers, delivered=self._delivered, has_room=has_room
            )
            if why is not None and not over.done():
                over.set_exception(BrokerLost(f"the broker has lost the subscription to {self.queue}: {why}"))

    async def _until_over(self, acks: Acks, over: asyncio.Future[None]) -> NoReturn:
        closing = acks.channel.closing
        try:
            while not (over.done() or closing.done()):
                await self._adjust(acks, over)
                self._supervisor.report_up()
                changed = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait({over, closing, changed}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
        finally:
            self._consuming = None
            self.started.clear()
            closing.cancel()
        if over.done():
            over.result()
        # Somebody deleted the queue, or the channel was closed: a new session declares and consumes again.
        why = "the queue was deleted" if over.done() else why_closed(closing)
        raise BrokerLost(f"the broker ended the consuming of {self.queue}: {why}")

    def _deliver(self, acks: Acks, over: asyncio.Future[None], delivered: Delivered) -> None:
        delivery = acks.delivery(delivered)
        self._delivered += 1
        if self._is_stopping:
            return  # the delivery is unsettled, so it returns to the queue when the channel closes
        try:
            self._receive(delivery)
        except Exception as error:  # noqa: BLE001  # raised by the session; here it would end the connection's reader
            if not over.done():
                over.set_exception(error)
