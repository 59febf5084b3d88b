"""Fixtures: a model of the broker with recorded deliveries, and a clock that the test moves."""

from dataclasses import dataclass, field

import pytest
from pamqp import commands, header
from pamqp.common import FieldTable

from mailpact_devbroker import messages
from mailpact_devbroker.broker import Broker, Published
from mailpact_devbroker.consumers import Delivery, Ledger
from mailpact_devbroker.queues import Queue


@dataclass
class Recorder:
    """An outlet that records its deliveries."""

    writable: bool = True
    deliveries: list[tuple[str, Delivery]] = field(default_factory=list)
    cancelled_tags: list[str] = field(default_factory=list)

    def is_writable(self) -> bool:
        return self.writable

    def deliver(self, delivery: Delivery, consumer_tag: str) -> None:
        self.deliveries.append((consumer_tag, delivery))

    def cancelled(self, consumer_tag: str) -> None:
        self.cancelled_tags.append(consumer_tag)

    def bodies(self) -> list[bytes]:
        return [delivery.message.publication.body for _, delivery in self.deliveries]


class Bench:
    """Drives a model the way a channel does: one call, then its consequences."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.now = 1_000.0
        self.outlet = Recorder()
        self.ledger = Ledger(1, self.outlet)

    def channel(self, owner: int = 1, **limits: int) -> tuple[Ledger, Recorder]:
        outlet = Recorder()
        return Ledger(owner, outlet, **limits), outlet

    def queue(self, name: str, owner: int = 1, arguments: FieldTable | None = None, **flags: bool) -> Queue:
        flags = {"durable": True, **flags}
        method = commands.Queue.Declare(queue=name, arguments=arguments, **flags)
        return self.broker.topology.declare_queue(method, owner)

    def quorum(self, name: str, **arguments: str | int) -> Queue:
        named = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        return self.queue(name, arguments={"x-queue-type": "quorum", **named})

    def exchange(self, name: str, kind: str = "direct", **flags: bool) -> None:
        flags = {"durable": True, **flags}
        self.broker.topology.declare_exchange(commands.Exchange.Declare(0, name, kind, **flags))

    def bind(self, queue: str, exchange: str, key: str = "", arguments: FieldTable | None = None) -> None:
        method = commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key, arguments=arguments)
        self.broker.topology.bind(method, 1)

    def bind_exchange(self, target: str, source: str, key: str = "") -> None:
        method = commands.Exchange.Bind(destination=target, source=source, routing_key=key)
        self.broker.topology.bind(method, 1)

    def publish(self, body: bytes, key: str, exchange: str = "", **properties: object) -> Published:
        marshalled = header.ContentHeader(0, len(body), commands.Basic.Properties(**properties)).marshal()  # type: ignore[arg-type]  # the test's business
        publication = messages.publication(exchange, key, marshalled, body, user="guest")
        published = self.broker.publish(publication, self.now)
        self.broker.proceed(self.now)
        return published

    def consume(self, queue: Queue, tag: str = "c", ledger: Ledger | None = None, **flags: bool) -> None:
        flags = {"no_ack": False, "exclusive": False, **flags}
        self.broker.consume(ledger or self.ledger, queue, tag, **flags)
        self.broker.proceed(self.now)

    def get(self, queue: Queue, *, no_ack: bool = False) -> Delivery | None:
        delivery = self.broker.get(self.ledger, queue, no_ack=no_ack, now=self.now)
        self.broker.proceed(self.now)
        return delivery

    def take(self, queue: Queue) -> Delivery:
        delivery = self.get(queue)
        assert delivery is not None
        return delivery

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self.broker.ack(self.ledger, tag, multiple=multiple)
        self.broker.proceed(self.now)

    def reject(self, tag: int, *, requeue: bool, multiple: bool = False) -> None:
        self.broker.reject(self.ledger, tag, multiple=multiple, requeue=requeue)
        self.broker.proceed(self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.broker.tick(self.now)

    def ready(self, queue: Queue) -> list[bytes]:
        return [message.publication.body for message in queue.ready]

    def headers(self, queue: Queue) -> FieldTable:
        found = header.ContentHeader()
        found.unmarshal(queue.ready[0].publication.header)
        return found.properties.headers or {}


@pytest.fixture
def bench() -> Bench:
    return Bench()
