"""Forwards messages that older programs publish directly to the legacy queue `email`, which they declare themselves.

The consumer never declares this queue. If the queue exists and has no other consumer, the bridge forwards its
messages to the work queue. Each message gets a key, and is acked only after the broker has confirmed the copy. One
kind of message is dropped and not forwarded: a message from the exchange `email` with a routing key of the work
queue's bindings, because the work queue already has a copy. This is only true for messages that were published after
the work queue was bound. So the bridge counts the messages in the legacy queue when it first sees both queues, and
forwards this number of messages in any case. The inbox stores how many of them are left. A legacy queue that appears
later has no such messages. In doubt a message is forwarded, because a duplicate is better than a lost mail.

Only one of several consumers runs the bridge. The inbox stores which consumer.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
from aiormq.abc import AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed
from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from mailpact.amqp.backoff import backoff_seconds
from mailpact.amqp.channels import RPC_SECONDS, consume, look_at, open_channel
from mailpact.amqp.errors import reason
from mailpact.amqp.messages import Outcome
from mailpact.amqp.publisher import Publisher
from mailpact.amqp.subscriber import Acks, Delivery
from mailpact.amqp.supervisor import Supervisor
from mailpact.amqp.transport import Delivered
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.settings import AmqpUrl
from mailpact_consumer.letter import bridged
from mailpact_consumer.liveness import is_alive
from mailpact_consumer.message import identify
from mailpact_consumer.queues import INGRESS, REQUEUE_EXCHANGE, WORK_QUEUE
from mailpact_consumer.schema import bridges, owners

LEGACY_QUEUE = "email"
TWIN_KEYS = frozenset({"", "email"})
PROBE_SECONDS = 30.0
PREFETCH = 32

Declare = Callable[[AbstractConnection], Awaitable[None]]

log = structlog.get_logger()


class Bridge:
    """The bridge of the process `owner`."""

    def __init__(
        self,
        url: AmqpUrl,
        database: Database,
        owner: str,
        *,
        new_id: Callable[[], str],
    ) -> None:
        self._supervisor = Supervisor(url, "consumer bridge")
        self._database = database
        self._owner = owner
        self._new_id = new_id
        self._must_forget = False
        self.moved = self.dropped = 0

    async def run(self, publisher: Publisher, declare: Declare) -> NoReturn:
        """Look for the legacy queue every 30 seconds, and move its messages through `publisher`, until cancelled.

        The topology is declared again each time, to restore an exchange or a binding that somebody removed. Without
        it the retry queues would lose messages, and no publish of the consumer would report this.
        """
        self._publisher, self._declare = publisher, declare
        await self._supervisor.run(self._session)

    def remembering(self, declare: Declare) -> Declare:
        """Return `declare` with a first step that records whether the work queue is new.

        A new queue has no copies yet.

        If the database cannot be used, the queue must still be declared for publishers. In this case the bridge of
        this process writes the record before it moves a message. The record is lost if the process is killed before.
        """

        async def declare_and_remember(connection: AbstractConnection) -> None:
            if await look_at(connection, WORK_QUEUE) is None:
                try:
                    await self._database.transact(_forget)
                except DatabaseUnavailable:
                    self._must_forget = True
            await declare(connection)

        return declare_and_remember

    async def _session(self, connection: AbstractConnection) -> NoReturn:
        self._supervisor.report_up()
        while True:
            try:
                await self._declare(connection)
                await self._move_if_due(connection)
            except IntegrityError:
                continue  # another consumer inserted the row at the same time
            except DatabaseUnavailable as error:
                log.warning("the bridge waits for the inbox", reason=str(error))
            await asyncio.sleep(PROBE_SECONDS)

    async def _move_if_due(self, connection: AbstractConnection) -> None:
        if await look_at(connection, WORK_QUEUE) is None:
            return
        if self._must_forget:
            await self._database.transact(_forget)
            self._must_forget = False
        found = await look_at(connection, LEGACY_QUEUE)
        if found is None:
            await self._database.transact(_note_no_queue)
            return
        waiting, consumers = found
        if consumers or not await self._database.transact(self._take):
            return
        to_forward = await self._database.transact(lambda c: _left_to_forward(c, waiting))
        all_keys = await _is_fanout(connection)
        log.info("the bridge moves messages of the legacy queue", queue=LEGACY_QUEUE, older=to_forward)
        try:
            await self._move(connection, to_forward, takes_all_keys=all_keys)
        finally:
            await self._database.transact(self._release)

    async def _move(self, connection: AbstractConnection, to_forward: int, *, takes_all_keys: bool) -> None:
        """Move messages until another consumer uses the queue, too, or until the queue is deleted."""
        channel = await open_channel(connection)
        acks, incoming = Acks(channel), asyncio.Queue[Delivery | None]()
        channel.on_consumer_cancel_callbacks.add(lambda _: incoming.put_nowait(None))

        def receive(delivered: Delivered) -> None:
            incoming.put_nowait(acks.delivery(delivered))

        async with asyncio.timeout(RPC_SECONDS):
            await channel.basic_qos(prefetch_count=PREFETCH)
            await consume(channel, LEGACY_QUEUE, receive)
        loop = asyncio.get_running_loop()
        next_look = loop.time() + PROBE_SECONDS
        try:
            while not channel.is_closed:
                if loop.time() >= next_look:
                    found = await look_at(connection, LEGACY_QUEUE)
                    if found is None or found[1] != 1:  # 0: the broker has lost the bridge's subscription
                        log.warning(
                            "the bridge stops: the legacy queue is gone, or is not consumed by the bridge alone"
                        )
                        return
                    await self._declare(connection)
                    next_look = loop.time() + PROBE_SECONDS
                try:
                    async with asyncio.timeout_at(next_look):
                        delivery = await incoming.get()
                except TimeoutError:
                    continue
                if delivery is None:
                    return
                is_older = to_forward > 0
                await self._settle(delivery, is_older=is_older, takes_all_keys=takes_all_keys)
                to_forward -= is_older
        finally:
            if not channel.is_closed:
                async with asyncio.timeout(RPC_SECONDS):
                    await channel.close()

    async def _settle(self, delivery: Delivery, *, is_older: bool, takes_all_keys: bool) -> None:
        has_twin = delivery.exchange == INGRESS and (takes_all_keys or delivery.routing_key in TWIN_KEYS)
        if has_twin and not is_older:
            self.dropped += 1
            await delivery.ack()
            return
        identity = identify(delivery.message, assigned_id=self._new_id())
        maybe_sent = delivery.redelivered and not identity.is_known
        forwarded = bridged(delivery.message, key=identity.key, maybe_sent=maybe_sent)
        failures = 0
        while await self._publisher.publish(forwarded, exchange=REQUEUE_EXCHANGE) is not Outcome.CONFIRMED:
            failures += 1
            await asyncio.sleep(backoff_seconds(failures, random.uniform))
        if is_older:
            await self._database.transact(_count_down)
        self.moved += 1
        log.info("a message of the legacy queue was moved", message_id=identity.key)
        await delivery.ack()

    def _take(self, connection: Connection) -> bool:
        """Become the owner of the bridge; return False if another living process is the owner."""
        _make_row(connection)
        living = select(owners.c.owner).where(is_alive())
        taken = connection.execute(
            update(bridges)
            .where(
                bridges.c.queue == LEGACY_QUEUE,
                or_(bridges.c.owner == self._owner, bridges.c.owner.not_in(living)),
            )
            .values(owner=self._owner)
        )
        return taken.rowcount == 1

    def _release(self, connection: Connection) -> None:
        mine = update(bridges).where(bridges.c.owner == self._owner).values(owner="")
        connection.execute(mine)


async def _is_fanout(connection: AbstractConnection) -> bool:
    """Return whether the public exchange is a fanout exchange. Another program may have declared this exchange."""
    channel = await open_channel(connection)
    try:
        async with asyncio.timeout(RPC_SECONDS):
            await channel.exchange_declare(INGRESS, exchange_type="fanout", durable=True)
            await channel.close()
    except ChannelPreconditionFailed as error:
        return "'type'" not in reason(error)
    return True


def _make_row(connection: Connection) -> None:
    row = select(bridges.c.owner).where(bridges.c.queue == LEGACY_QUEUE)
    if connection.execute(row).scalar() is None:
        connection.execute(insert(bridges).values(queue=LEGACY_QUEUE, owner="", to_forward=None))


def _note_no_queue(connection: Connection) -> None:
    """Record that the work queue is bound and no legacy queue exists. All later messages also reach the work queue."""
    _make_row(connection)
    unknown = bridges.c.to_forward.is_(None)
    connection.execute(update(bridges).where(bridges.c.queue == LEGACY_QUEUE, unknown).values(to_forward=0))


def _forget(connection: Connection) -> None:
    connection.execute(update(bridges).values(to_forward=None))


def _left_to_forward(connection: Connection, waiting: int) -> int:
    """Return how many messages at the head of the legacy queue may be older than the work queue's binding."""
    row = select(bridges.c.to_forward).where(bridges.c.queue == LEGACY_QUEUE)
    known: int | None = connection.execute(row).scalar()
    if known is None:
        known = waiting
        connection.execute(update(bridges).where(bridges.c.queue == LEGACY_QUEUE).values(to_forward=known))
    return known


def _count_down(connection: Connection) -> None:
    connection.execute(
        update(bridges)
        .where(bridges.c.queue == LEGACY_QUEUE, bridges.c.to_forward > 0)
        .values(to_forward=bridges.c.to_forward - 1)
    )
