"""Watches the parts of a running consumer for `/readyz` and `/metrics`."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NoReturn

from mailpact.amqp.publisher import Publisher
from mailpact.amqp.subscriber import Subscriber
from mailpact.database.transactions import Database
from mailpact.health import Condition
from mailpact_consumer.bridge import Bridge
from mailpact_consumer.metrics import Metrics, conditions
from mailpact_consumer.server_watch import ServerWatch

EVERY_SECONDS = 5.0


class Monitor:
    """Reads the state of every part every five seconds, and when `/readyz` is asked."""

    def __init__(
        self,
        metrics: Metrics,
        database: Database,
        watch: ServerWatch,
        publishers: Mapping[str, Publisher],
        subscriber: Subscriber,
        bridge: Bridge,
    ) -> None:
        self._metrics = metrics
        self._database = database
        self._watch = watch
        self._publishers = publishers
        self._subscriber = subscriber
        self._bridge = bridge

    async def run(self) -> NoReturn:
        """Keep the numbers fresh until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(EVERY_SECONDS)

    async def check(self) -> Iterable[Condition]:
        """Return whether each part works now."""
        metrics = self._metrics
        inbox = await metrics.read_inbox(self._database)
        blocked = [await publisher.is_blocked() for publisher in self._publishers.values()]
        is_consuming = self._subscriber.started.is_set()
        metrics.breaker.set(self._watch.is_open)
        metrics.blocked.set(any(blocked))
        metrics.connections.labels("consuming").set(is_consuming)
        for role, publisher in self._publishers.items():
            metrics.connections.labels(role).set(publisher.is_open)
        metrics.bridged.labels("moved").set(self._bridge.moved)
        metrics.bridged.labels("dropped").set(self._bridge.dropped)
        return list(
            conditions(
                inbox,
                is_consuming=is_consuming,
                breaker_reason=self._watch.reason if self._watch.is_open else "",
                is_blocked=any(blocked),
            )
        )
