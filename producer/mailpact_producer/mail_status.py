"""Records the state of the site's mails from the consumer's events (contract `email-status/1`).

    exchange email.status ─▶ queue email.status.site ─▶ check ─▶ one transaction for many events ─▶ ack

All processes of the site share the queue. An event is acknowledged after the commit; a copy of an event changes
nothing. Events about messages of other publishers are counted and skipped. An event that breaks its contract is
counted, logged without its content, and skipped, because a dead letter would not help. Without the broker, or without
the right to read the queue, the site serves its pages and mails as before.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import structlog
from aiormq.abc import AbstractConnection
from sqlalchemy import Connection

from mailpact.amqp.errors import BrokerLost, TopologyMismatch, talking
from mailpact.amqp.messages import Message
from mailpact.amqp.subscriber import Delivery, Subscriber
from mailpact.amqp.topology import declare_all
from mailpact.contracts.catalogue import Catalogue, Topology
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.settings import AmqpUrl
from mailpact_producer.mail_state import Progress, progress_of
from mailpact_producer.reports import Reports
from mailpact_producer.store import canary, mails

CONTRACT: Final = "email-status/1"
DECLARED_BY: Final = "site"
QUEUE: Final = "email.status.site"
PREFETCH: Final = 200
MOST_AT_ONCE: Final = 100  # in one transaction
RETRY_SECONDS: Final = 1.0

log = structlog.get_logger()


class StatusListener:
    """Records status events; `run` it in a task. `foreign` and `invalid` count events that were skipped."""

    def __init__(
        self,
        url: AmqpUrl,
        catalogue: Catalogue,
        database: Database,
        *,
        now: Callable[[], float],
        wake_canary: Callable[[], None],
    ) -> None:
        contract = catalogue.contract(CONTRACT)
        self._binding = contract.wire
        self._reader = Validator(contract.schema)
        self._topology = _what_the_queue_needs(catalogue.topology.declared_by(DECLARED_BY))
        self._database = database
        self._now = now
        self._wake_canary = wake_canary
        self._reports = Reports()
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue()
        self._subscriber = Subscriber(
            url,
            "producer-status",
            queue=QUEUE,
            prefetch=PREFETCH,
            declare=self._declare,
            receive=self._waiting.put_nowait,
        )
        self.recorded = 0
        self.foreign = 0
        self.invalid = 0

    async def run(self) -> NoReturn:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._record())
            await self._subscriber.run()

    async def _declare(self, connection: AbstractConnection) -> None:
        try:
            with talking():
                await declare_all(connection, self._topology)
        except TopologyMismatch as error:
            raise BrokerLost(f"the queue or the exchange must be corrected: {error}") from error

    async def _record(self) -> NoReturn:
        while True:
            deliveries = [await self._waiting.get()]
            while len(deliveries) < MOST_AT_ONCE and not self._waiting.empty():
                deliveries.append(self._waiting.get_nowait())
            await self._store(deliveries)
            await asyncio.gather(*(delivery.ack() for delivery in deliveries))

    async def _store(self, deliveries: Sequence[Delivery]) -> None:
        told: dict[str, list[Progress]] = defaultdict(list)
        for delivery in deliveries:
            event = self._event(delivery.message)
            progress = None if event is None else progress_of(event)
            if event is not None and progress is not None:
                told[event["message_id"]].append(progress)
        while told:
            try:
                # If the outcome of the commit is unknown (CommitUnknown), the events are recorded again, which
                # changes nothing.
                foreign, is_of_canary = await self._database.transact(partial(_record, told=told))
            except DatabaseUnavailable:
                await asyncio.sleep(
                    RETRY_SECONDS
                )  # the relay reports the error; the prefetch limits the waiting events
            else:
                self.foreign += foreign
                self.recorded += len(told) - foreign
                if is_of_canary:
                    self._wake_canary()
                return

    def _event(self, message: Message) -> Any:
        """Return the members of the event; None if the message breaks its contract."""
        limits = self._binding.limits
        refusal = self._binding.refuse(message.type, message.content_type, message.content_encoding)
        value: Any = refusal or parse(
            message.body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth
        )
        if not isinstance(value, Refusal):
            refusal = self._reader.check(value)
            if refusal is None:
                return value
            value = refusal
        self.invalid += 1
        more = self._reports.due("invalid", self._now())
        if more is not None:
            # The pointer is not logged, because it may contain a name that the publisher has chosen.
            log.warning(
                "a status event breaks its contract and is skipped", code=value.code, unlogged_before=more
            )
        return None


def _record(connection: Connection, told: Mapping[str, Sequence[Progress]]) -> tuple[int, bool]:
    """Record the states of events; return how many messages are not of this site, and whether one is the canary's."""
    canary_id = canary.record(connection, told)
    others = {message_id: each for message_id, each in told.items() if message_id != canary_id}
    return (mails.record(connection, others) if others else 0), canary_id is not None


def _what_the_queue_needs(topology: Topology) -> Topology:
    """Return the queue with its exchanges; another exchange with errors must not keep events from the site."""
    routes = tuple(route for route in topology.bindings if route.queue == QUEUE)
    sources = {route.exchange for route in routes}
    exchanges = tuple(each for each in topology.exchanges if each.name in sources)
    return Topology(exchanges, tuple(each for each in topology.queues if each.name == QUEUE), routes)
