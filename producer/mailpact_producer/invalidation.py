"""Tells all processes of the site which cached pages are out of date (contract `cache-invalidation/1`).

    change ─▶ one transaction: rows, message ─▶ relay ─▶ exchange cache.invalidation ─▶ a queue for each process ─▶ drop

The process that makes the change drops its own items as soon as the transaction is committed. Each process has an
exclusive queue. After each connection the queue is new, so all items are dropped before the queue is consumed. While
there is no connection, the cache is not used.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeVar
from uuid import uuid4

import structlog
from aiormq.abc import AbstractConnection
from sqlalchemy import Connection

from mailpact.amqp.channels import short_channel
from mailpact.amqp.errors import BrokerLost, TopologyMismatch, talking
from mailpact.amqp.messages import Message
from mailpact.amqp.subscriber import Delivery, Subscriber
from mailpact.amqp.topology import declare
from mailpact.contracts.catalogue import Catalogue
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact.database.transactions import Database
from mailpact.settings import AmqpUrl
from mailpact_producer.cache import EVERYTHING, PageCache
from mailpact_producer.errors import ContractBroken
from mailpact_producer.events import Writer
from mailpact_producer.store import outbox

CONTRACT: Final = "cache-invalidation/1"
PREFETCH: Final = 100

T = TypeVar("T")
Keys = Callable[[Connection], Sequence[str]]
log = structlog.get_logger()


class Listener:
    """Drops the cached items that other processes name. Call `run` in a task."""

    def __init__(self, url: AmqpUrl, catalogue: Catalogue, *, origin: str, now: Callable[[], float]) -> None:
        contract = catalogue.contract(CONTRACT)
        self._binding = contract.wire
        self._reader = Validator(contract.schema)
        self._exchange = next(
            each for each in catalogue.topology.exchanges if each.name == self._binding.exchange
        )
        self._origin = origin
        self._queue = f"{self._binding.exchange}.{origin}"
        self._acks: set[asyncio.Task[bool]] = set()
        self._subscriber = Subscriber(
            url,
            "producer-cache",
            queue=self._queue,
            prefetch=PREFETCH,
            declare=self._declare,
            receive=self._receive,
        )
        self.cache = PageCache(now, self._subscriber.started.is_set)
        self.has_started = False

    async def run(self) -> NoReturn:
        """Listen until cancelled."""
        await self._subscriber.run()

    async def _declare(self, connection: AbstractConnection) -> None:
        try:
            with talking():
                await declare(connection, self._exchange)
                async with short_channel(connection) as channel:
                    await channel.queue_declare(self._queue, exclusive=True, auto_delete=True)
                    await channel.queue_bind(self._queue, self._exchange.name, self._binding.routing_key)
        except TopologyMismatch as error:
            raise BrokerLost(f"the exchange must be corrected: {error}") from error
        self.cache.drop([EVERYTHING])
        self.has_started = True

    def _receive(self, delivery: Delivery) -> None:
        self.cache.drop(self._keys(delivery.message))
        ack = asyncio.create_task(delivery.ack())
        self._acks.add(ack)
        ack.add_done_callback(self._acks.discard)

    def _keys(self, message: Message) -> Sequence[str]:
        """Return the keys in the message; no keys if this process sent it, and every key if it breaks its contract."""
        limits = self._binding.limits
        refusal = self._binding.refuse(message.type, message.content_type, message.content_encoding)
        value: Any = refusal or parse(
            message.body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth
        )
        if isinstance(value, Refusal) or self._reader.check(value) is not None:
            log.warning("a message about the cache breaks its contract; all cached pages are dropped")
            return [EVERYTHING]
        if value.get("origin") == self._origin:
            return []
        return [str(key) for key in value["keys"]]


class Changes:
    """Changes data that may be cached, in transactions that also store the message about the change."""

    def __init__(
        self,
        database: Database,
        listener: Listener,
        writer: Writer,
        *,
        origin: str,
        nudge: Callable[[], None],
        now_seconds: Callable[[], float],
    ) -> None:
        self._database = database
        self._listener = listener
        self._writer = writer
        self._origin = origin
        self._nudge = nudge
        self._now_seconds = now_seconds

    async def transact(self, work: Callable[[Connection], T], keys: Keys) -> T:
        """Do the work, and drop the items with these keys in all processes. Raises the errors of Database.transact.

        `keys` is called before the work is done.
        """
        changed: list[str] = []

        def change(connection: Connection) -> T:
            changed[:] = keys(connection)
            result = work(connection)
            if changed and self._listener.has_started:
                self._enqueue(connection, changed)
            return result

        result = await self._database.transact(change)
        self._listener.cache.drop(changed)
        self._nudge()
        return result

    def _enqueue(self, connection: Connection, keys: Sequence[str]) -> None:
        body = json.dumps({"keys": list(keys), "origin": self._origin}).encode()
        message = self._writer.message(
            body, message_id=str(uuid4()), made_at_seconds=int(self._now_seconds())
        )
        if isinstance(message, Refusal):
            raise ContractBroken(f"{CONTRACT} refuses our message: {message.code}, {message.detail}")
        outbox.enqueue(connection, message, contract=CONTRACT)
