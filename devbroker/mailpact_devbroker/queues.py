"""A queue: its declaration and its messages, in order.

The broker supports every argument in the lists below. Any other argument is refused with 540. An argument that
RabbitMQ refuses for this type of queue is refused with RabbitMQ's text. Time comes in as `now`, in seconds since
1970.
"""

import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pamqp import commands, common

from mailpact_devbroker.errors import AmqpError, locked, unsupported
from mailpact_devbroker.messages import Message

DEFAULT_DELIVERY_LIMIT = 20  # RabbitMQ 4.0; 3.x has none

_TEXTS = ("x-dead-letter-exchange", "x-dead-letter-routing-key")
_NUMBERS = ("x-message-ttl", "x-max-length", "x-delivery-limit", "x-expires")
_CHOICES = {  # the supported values, and RabbitMQ's text for values that RabbitMQ does not know either
    "x-overflow": (("drop-head", "reject-publish"), "invalid_overflow"),
    "x-dead-letter-strategy": (("at-most-once", "at-least-once"), "invalid_dlx_strategy"),
    "x-queue-type": (("classic", "quorum"), "unsupported queue type"),
}
_LONGEST_NAME = 255  # bytes: the key of a dead letter must fit into a short string
_NOT_HONOURED = ("stream", "reject-publish-dlx")
_ARGUMENTS = (*_TEXTS, *_NUMBERS, *_CHOICES)
_QUORUM_ONLY = ("x-delivery-limit", "x-dead-letter-strategy")


@dataclass(frozen=True, slots=True)
class Terms:
    """A queue's parsed arguments. `delivery_limit` is None if there is no limit.

    The queue is deleted when it was unused for `expires_ms`.
    """

    quorum: bool
    ttl_ms: int | None
    expires_ms: int | None
    max_length: int | None
    reject_publish: bool
    dead_letter_exchange: str | None
    dead_letter_routing_key: str | None
    at_least_once: bool
    delivery_limit: int | None


def terms(name: str, arguments: common.FieldTable) -> Terms:
    """Parse a declared queue's arguments.

    Raises:
        AmqpError: 540 for an unsupported argument or value, 406 for an invalid argument or value.
    """
    quorum = arguments.get("x-queue-type") == "quorum"
    for argument, value in arguments.items():
        _check(name, argument, value, quorum=quorum)
    given: dict[str, Any] = arguments  # `arguments` has just been checked
    exchange, key = (given.get(argument) for argument in _TEXTS)
    limit = given.get("x-delivery-limit", DEFAULT_DELIVERY_LIMIT)
    understood = Terms(
        quorum=quorum,
        ttl_ms=given.get("x-message-ttl"),
        expires_ms=given.get("x-expires"),
        max_length=given.get("x-max-length"),
        reject_publish=given.get("x-overflow") == "reject-publish",
        dead_letter_exchange=exchange,
        dead_letter_routing_key=key,
        at_least_once=given.get("x-dead-letter-strategy") == "at-least-once",
        delivery_limit=limit if quorum and limit >= 0 else None,
    )
    if exchange is None and key is not None:
        where = f"invalid arg 'x-dead-letter-routing-key' for queue '{name}' in vhost '/'"
        raise AmqpError(406, f"{where}: routing_key_but_no_dlx_defined")
    if understood.at_least_once and not (understood.reject_publish and exchange is not None):
        # RabbitMQ accepts this combination, and silently uses at-most-once instead.
        raise unsupported("at-least-once without x-overflow=reject-publish and x-dead-letter-exchange")
    return understood


def _check(name: str, argument: str, value: common.FieldValue, *, quorum: bool) -> None:
    where = f"invalid arg '{argument}' for queue '{name}' in vhost '/'"
    expected = int if argument in _NUMBERS else str
    if argument not in _ARGUMENTS:
        raise unsupported(f"queue argument '{argument}'")
    if type(value) is not expected:
        raise AmqpError(406, f"{where}: expected {expected.__name__}, got {type(value).__name__}")
    if isinstance(value, int) and value < 0 and argument != "x-delivery-limit":
        raise AmqpError(406, f"{where}: {{value_negative,{value}}}")
    if argument == "x-expires" and value == 0:
        raise AmqpError(406, f"{where}: {{value_zero,0}}")
    if isinstance(value, str) and len(value.encode()) > _LONGEST_NAME:
        raise AmqpError(406, f"{where}: longer than {_LONGEST_NAME} bytes")
    if argument in _CHOICES:
        honoured, wrong = _CHOICES[argument]
        if value in _NOT_HONOURED:
            raise unsupported(f"queue argument '{argument}' = '{value}'")
        if value not in honoured:
            raise AmqpError(406, f"{where}: {wrong}")
    if argument in _QUORUM_ONLY and not quorum:
        raise AmqpError(406, f"{where} of queue type rabbit_classic_queue")


@dataclass(slots=True)
class Totals:
    """The number of a queue's messages since the broker started, for each step."""

    published: int = 0
    delivered: int = 0
    acknowledged: int = 0
    returned: int = 0


@dataclass(slots=True)
class Queue:
    """A queue and its messages. `owner` is the connection of an exclusive queue.

    `unused_until` (seconds since 1970) is when the queue expires. It is None if the queue does not expire or if its
    time must start again.
    """

    name: str
    durable: bool
    auto_delete: bool
    owner: int | None
    arguments: common.FieldTable
    terms: Terms
    ready: deque[Message] = field(default_factory=deque)
    unacked: dict[int, Message] = field(default_factory=dict)
    held: list[Message] = field(default_factory=list)
    unused_until: float | None = None
    totals: Totals = field(default_factory=Totals)

    @property
    def survives(self) -> bool:
        """Return whether the queue itself survives the process."""
        return self.durable and self.owner is None

    @property
    def is_full(self) -> bool:
        """Return whether the queue refuses new messages now."""
        limit = self.terms.max_length
        return self.terms.reject_publish and limit is not None and len(self.ready) + len(self.held) >= limit

    def append(self, message: Message, now: float) -> None:
        """Append a message. The shorter time to live of message and queue applies."""
        published = message.publication
        limits = [ms for ms in (self.terms.ttl_ms, published.ttl_ms) if ms is not None]
        message.due_at = now + min(limits) / 1000 if limits else None
        message.kept = self.survives and (self.terms.quorum or published.persistent)
        self.ready.append(message)
        self.totals.published += 1

    def take(self) -> Message:
        """Return the first message. The message stays in `unacked` until it is settled."""
        message = self.ready.popleft()
        self.unacked[message.id] = message
        self.totals.delivered += 1
        return message

    def put_back(self, message: Message) -> None:
        """Put a message back before the messages that were never delivered.

        Its next delivery is marked as redelivered.

        In a classic queue the message gets its old position. A quorum queue keeps returned messages in the order of
        return.
        """
        message.redelivered = True
        self.totals.returned += 1
        if self.terms.quorum:
            message.returned = self.totals.returned
        at = bisect.bisect_left(self.ready, message.place, key=lambda each: each.place)
        self.ready.insert(at, message)

    def exceeds_delivery_limit(self, message: Message) -> bool:
        """Return whether a returned message has reached the delivery limit."""
        limit = self.terms.delivery_limit
        return limit is not None and message.deliveries > limit

    def expired(self, now: float) -> Iterator[Message]:
        """Remove expired messages from the front and yield them, up to the first message that has not expired."""
        while self.ready and (due_at := self.ready[0].due_at) is not None and due_at < now:
            yield self.ready.popleft()

    def overflowing(self) -> Iterator[Message]:
        """Remove messages from the front and yield them while the queue exceeds a length limit with drop-head."""
        limit = self.terms.max_length
        while limit is not None and not self.terms.reject_publish and len(self.ready) > limit:
            yield self.ready.popleft()

    def deadline(self) -> float | None:
        """Return the next time at which a message or the queue expires, or None."""
        first = [self.ready[0]] if self.ready else []
        return min((each.due_at for each in (*first, *self.held) if each.due_at is not None), default=None)


def assert_equivalent(queue: Queue, declared: commands.Queue.Declare, owner: int | None) -> None:
    """Compare a declaration with the existing queue of the same name.

    Raises:
        AmqpError: 405 if `exclusive` differs, 406 with the name of a different argument.
    """
    if owner != queue.owner:
        raise locked(queue.name)
    where = f"queue '{queue.name}' in vhost '/'"
    assert_same("durable", where, declared.durable, queue.durable)
    assert_same("auto_delete", where, declared.auto_delete, queue.auto_delete)
    received = {"x-queue-type": "classic", **(declared.arguments or {})}
    current = {"x-queue-type": "classic", **queue.arguments}
    for name in dict.fromkeys((*_ARGUMENTS, *received)):
        assert_same(name, where, received.get(name), current.get(name))


def assert_same(name: str, where: str, received: common.FieldValue, current: common.FieldValue) -> None:
    """Raise RabbitMQ's 406 if the received argument differs from the current argument."""
    if received != current:
        asked, has = (_said(value) for value in (received, current))
        raise AmqpError(406, f"inequivalent arg '{name}' for {where}: received {asked} but current is {has}")


def _said(value: common.FieldValue) -> str:
    """Return a value as RabbitMQ prints it. RabbitMQ adds the type if the other value is missing."""
    if value is None:
        return "none"
    return f"'{str(value).lower() if isinstance(value, bool) else value!s}'"
