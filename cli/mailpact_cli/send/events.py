"""Receives the status events that a consumer publishes about one message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mailpact.contracts.catalogue import Catalogue
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact_consumer.mailbox import canonical_address

if TYPE_CHECKING:
    from aiormq.abc import AbstractConnection, DeliveredMessage

CONTRACT = "email-status/1"
GOOD = frozenset({"sent", "duplicate"})
BAD = frozenset({"failed", "expired", "rejected"})


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One event: `recipient` is empty where the message as a whole is meant, `words` say why."""

    event: str
    recipient: str
    words: str


@dataclass(slots=True)
class Listener:
    """The events of one message, in the order in which they came."""

    message_id: str
    limits: tuple[int, int]
    arrived: asyncio.Queue[StatusEvent] = field(default_factory=asyncio.Queue)

    async def take(self, delivered: "DeliveredMessage") -> None:
        """Keep an event of this message; anything else is left out."""
        max_bytes, max_depth = self.limits
        value = parse(delivered.body, max_bytes=max_bytes, max_depth=max_depth)
        if (
            isinstance(value, Refusal)
            or not isinstance(value, dict)
            or value.get("message_id") != self.message_id
        ):
            return
        smtp, error = value.get("smtp"), value.get("error")
        words = ""
        if isinstance(smtp, dict):
            words = " ".join(str(smtp[key]) for key in ("code", "enhanced", "reply") if smtp.get(key))
        elif isinstance(error, dict):
            place = f" at {error['pointer']}" if error.get("pointer") else ""
            words = f"{error.get('code', '')}{place}: {error.get('detail', '')}"
        await self.arrived.put(StatusEvent(str(value.get("event")), str(value.get("recipient") or ""), words))


class Progress:
    """Which recipients are still open, and whether all others got their mail."""

    def __init__(self, recipients: tuple[str, ...]) -> None:
        self._open = {canonical_address(address) for address in recipients}
        self.is_good = True

    @property
    def is_over(self) -> bool:
        """Return whether every recipient is settled."""
        return not self._open

    def take(self, event: StatusEvent) -> None:
        """Take note of an event."""
        if event.event in BAD:
            self.is_good = False
        if event.event in GOOD | BAD:
            self._open.discard(canonical_address(event.recipient))
        if event.event == "rejected":
            self._open.clear()


@asynccontextmanager
async def listening(
    connection: "AbstractConnection", catalogue: Catalogue, message_id: str
) -> "AsyncIterator[Listener]":
    """Bind a queue of this connection's own to the status exchange and yield the listener. Raises BrokerLost."""
    from mailpact.amqp.channels import RPC_SECONDS, open_channel
    from mailpact.amqp.errors import talking

    binding = catalogue.contract(CONTRACT).wire
    listener = Listener(message_id, (binding.limits.max_body_bytes, binding.limits.max_depth))
    exchange = next(one for one in catalogue.topology.exchanges if one.name == binding.exchange)
    with talking():
        channel = await open_channel(connection)
        async with asyncio.timeout(RPC_SECONDS):
            await channel.exchange_declare(
                exchange.name, exchange_type=exchange.type, durable=exchange.durable
            )
            declared = await channel.queue_declare("", exclusive=True, auto_delete=True)
            assert declared.queue is not None  # noqa: S101  # the broker has made the name
            await channel.queue_bind(declared.queue, exchange.name, "#")
            await channel.basic_consume(declared.queue, listener.take, no_ack=True)
    yield listener
