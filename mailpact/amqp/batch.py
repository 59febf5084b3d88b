"""Publishes many messages as one write, and counts their confirms together.

aiormq's `basic_publish` makes two futures, a lock, a timer and several callbacks for each message, which costs more
than all else that a status event needs. A batch shares them: its frames are one entry of the connection's write queue,
and one future ends when the last confirm has come. The messages are not `mandatory`, so that none is returned.
"""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp import commands
from pamqp.frame import marshal

from mailpact.amqp.messages import Message
from mailpact.amqp.outcome import Outcome

FRAME_START = struct.Struct(">BHI")
HEADER_FRAME, BODY_FRAME, FRAME_END = 2, 3, b"\xce"

Routed = tuple[str, Message]
"""A message, and its routing key before it."""


@dataclass(slots=True, eq=False)
class Batch:
    """The outcomes of one batch; UNKNOWN until the broker has answered."""

    outcomes: list[Outcome]
    answered: "asyncio.Future[None]" = field(repr=False)
    _open: int = 0

    def __post_init__(self) -> None:
        self._open = len(self.outcomes)

    def set_outcome(self, index: int, outcome: Outcome) -> None:
        """Note the broker's answer about one message."""
        self.outcomes[index] = outcome
        self._open -= 1
        if not self._open and not self.answered.done():
            self.answered.set_result(None)


class _Confirm:
    """What aiormq resolves when a confirm comes: the four methods of a future that it calls."""

    __slots__ = ("_batch", "_index", "_is_done")

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch, self._index, self._is_done = batch, index, False

    def done(self) -> bool:
        return self._is_done

    def cancelled(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        self._is_done = True
        self._batch.set_outcome(self._index, Outcome.CONFIRMED)

    def set_exception(self, _: object) -> None:
        self._is_done = True
        self._batch.set_outcome(self._index, Outcome.NACKED)


def new_batch(channel: Channel, size: int) -> Batch:
    """Return a batch of that many messages, none of them sent; `answered` fails when the channel closes."""
    return Batch([Outcome.UNKNOWN] * size, channel.create_future())


async def send(channel: Channel, batch: Batch, messages: Sequence[Routed], exchange: str) -> None:
    """Send the messages of a batch and wait for all answers.

    Raises what aiormq raises on a channel that is closed or closes. When this is cancelled or raises, the channel's
    delivery tags may not fit the broker's any more: publish nothing on it from then on.
    """
    payload = b"".join(_frames(channel, messages, exchange))
    async with channel.lock:  # the delivery tags follow the order of the frames
        for index in range(len(messages)):
            channel.delivery_tag += 1
            channel.confirmations[channel.delivery_tag] = cast(Any, _Confirm(batch, index))
        await channel.write_queue.put(ChannelFrame(payload, should_close=False))
    await batch.answered


def _frames(channel: Channel, messages: Sequence[Routed], exchange: str) -> Iterator[bytes]:
    methods: dict[str, bytes] = {}
    number, most = channel.number, channel.max_content_size
    for routing_key, message in messages:
        if routing_key not in methods:
            methods[routing_key] = marshal(
                commands.Basic.Publish(exchange=exchange, routing_key=routing_key), number
            )
        yield methods[routing_key]
        body = message.body
        yield _frame(HEADER_FRAME, number, message.content_header())
        for start in range(0, len(body), most):
            yield _frame(BODY_FRAME, number, body[start : start + most])


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return FRAME_START.pack(kind, channel, len(payload)) + payload + FRAME_END
