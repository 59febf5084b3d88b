"""Consumers: which consumer gets the next message, and how many unacknowledged messages each may have.

A channel's `Ledger` lists the deliveries that the channel has not settled. The pure model sends deliveries only
through `Outlet`. A channel implements this protocol; a test records the calls.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from mailpact_devbroker.errors import AmqpError
from mailpact_devbroker.messages import Message
from mailpact_devbroker.queues import Queue


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message handed to a channel; `consumer` is None if basic.get fetched the message."""

    tag: int
    queue: Queue
    message: Message
    consumer: "Consumer | None"
    redelivered: bool


class Outlet(Protocol):
    """The receiver of deliveries."""

    def is_writable(self) -> bool:
        """Return whether the peer can receive deliveries now."""

    def deliver(self, delivery: Delivery, consumer_tag: str) -> None:
        """Send a message to a consumer."""

    def cancelled(self, consumer_tag: str) -> None:
        """Tell a consumer that its queue was deleted."""


@dataclass(slots=True, eq=False)
class Ledger:
    """The unsettled deliveries of one channel. Prefetch counts are numbers of messages, 0 means no limit."""

    owner: int
    outlet: Outlet
    prefetch: int = 0
    global_prefetch: int = 0
    last_tag: int = 0
    unacked: dict[int, Delivery] = field(default_factory=dict)
    consumers: dict[str, "Consumer"] = field(default_factory=dict)

    def record(
        self, queue: Queue, message: Message, consumer: "Consumer | None", *, no_ack: bool
    ) -> Delivery:
        """Record a delivery and return its delivery tag."""
        self.last_tag += 1
        delivery = Delivery(self.last_tag, queue, message, consumer, message.redelivered)
        if not no_ack:
            self.unacked[delivery.tag] = delivery
            if consumer is not None:
                consumer.unacked += 1
        return delivery

    def settle(self, tag: int, *, multiple: bool) -> list[Delivery]:
        """Remove deliveries from the ledger and return them, oldest first.

        Tag 0 with `multiple` means all deliveries.

        Raises:
            AmqpError: 406 if the channel has no unsettled delivery with this tag.
        """
        if multiple and tag == 0:
            tags = list(self.unacked)
        elif tag not in self.unacked:
            raise AmqpError(406, f"unknown delivery tag {tag}")
        else:
            tags = [each for each in self.unacked if each <= tag] if multiple else [tag]
        settled = [self.unacked.pop(each) for each in tags]
        for delivery in settled:
            if delivery.consumer is not None:
                delivery.consumer.unacked -= 1
        return settled

    def has_room(self) -> bool:
        """Return whether the channel's prefetch limit allows another delivery. Messages of basic.get do not count."""
        limit = self.global_prefetch
        return not limit or sum(consumer.unacked for consumer in self.consumers.values()) < limit


@dataclass(slots=True, eq=False)
class Consumer:
    """A subscription to one queue."""

    tag: str
    ledger: Ledger
    queue: Queue
    no_ack: bool
    exclusive: bool
    prefetch: int
    unacked: int = 0

    def is_ready(self) -> bool:
        """Return whether the next message may go to this consumer."""
        if not self.ledger.outlet.is_writable():
            return False
        within = not self.prefetch or self.unacked < self.prefetch
        return self.no_ack or (within and self.ledger.has_room())


def next_ready(turns: deque[Consumer]) -> Consumer | None:
    """Return the next consumer in turn. Consumers at their prefetch limit are skipped."""
    for _ in range(len(turns)):
        consumer = turns[0]
        turns.rotate(-1)
        if consumer.is_ready():
            return consumer
    return None
