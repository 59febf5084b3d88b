"""Publishes messages on a channel with confirms as one write, and counts their confirms together.

aiormq's `basic_publish` makes two futures, a lock, a timer and several callbacks for each message. This costs more
CPU time than the rest of a message's way to the broker. The messages of a batch share these objects: their frames are
one entry of the connection's write queue, and one future ends with the last confirm.
"""

import struct
from asyncio import Future
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import PublishError
from pamqp import commands, encode
from pamqp.frame import marshal

from mailpact.amqp.messages import Message, Outcome, Routed

FRAME_START = struct.Struct(">BHI")
HEADER_START = struct.Struct(">HHQH")  # class, weight, size of the body, flags
TEXT_FLAGS = (1 << 15, 1 << 14, 1 << 10, 1 << 9, 1 << 7, 1 << 5, 1 << 3)  # AMQP 0-9-1, 4.2.6.1
HEADERS, PERSISTENT, TIMESTAMP = 1 << 13, 1 << 12, 1 << 6
HEADER_FRAME, BODY_FRAME, FRAME_END = 2, 3, b"\xce"


@dataclass(slots=True, eq=False)
class _Confirm:
    """The object that aiormq resolves at a confirm or a return. It has the methods of a future that aiormq calls."""

    index: int
    outcomes: list[Outcome]
    open: set[int]
    """The messages of the batch without an answer."""
    answered: "Future[None]"

    def done(self) -> bool:
        return self.index not in self.open

    def cancelled(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        self._set(Outcome.CONFIRMED)

    def set_exception(self, error: object) -> None:
        self._set(Outcome.UNROUTABLE if isinstance(error, PublishError) else Outcome.NACKED)

    def _set(self, outcome: Outcome) -> None:
        self.outcomes[self.index] = outcome
        self.open.discard(self.index)
        if not self.open and not self.answered.done():
            self.answered.set_result(None)


async def send(channel: AbstractChannel, messages: Sequence[Routed], outcomes: list[Outcome]) -> None:
    """Publish the messages, and wait until `outcomes`, all UNKNOWN at first, has the broker's answer to each of them.

    Each `mandatory` message must have an id that no other one in flight has: aiormq finds a returned message by its id.
    Raises TypeError or ValueError for properties that AMQP cannot carry; then nothing was sent. Raises as aiormq does
    if the channel closes. After that or a cancellation its delivery tags are not to be trusted.
    """
    concrete = cast(Channel, channel)
    payload = b"".join(_frames(concrete, messages))
    unanswered = set(range(len(messages)))
    answered = concrete.create_future()  # fails if the channel closes
    async with concrete.lock:  # the delivery tags must follow the order of the frames
        for index, routed in enumerate(messages):
            concrete.delivery_tag += 1
            confirm = _Confirm(index, outcomes, unanswered, answered)
            concrete.confirmations[concrete.delivery_tag] = cast(Any, confirm)
            if routed.mandatory:
                concrete.message_id_delivery_tag[str(routed.message.message_id)] = concrete.delivery_tag
        await concrete.write_queue.put(ChannelFrame(payload, should_close=False))
    await answered
    for routed in messages:
        if routed.mandatory:
            del concrete.message_id_delivery_tag[str(routed.message.message_id)]


def _frames(channel: Channel, messages: Sequence[Routed]) -> Iterator[bytes]:
    number, most = channel.number, channel.max_content_size
    for routed in messages:
        body = routed.message.body
        yield _method_frame(number, routed.exchange, routed.routing_key, routed.mandatory)
        yield _frame(HEADER_FRAME, number, content_header(routed.message))
        for start in range(0, len(body), most):
            yield _frame(BODY_FRAME, number, body[start : start + most])


@lru_cache
def _method_frame(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:  # noqa: FBT001  # cached
    return marshal(
        commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory), channel
    )


def content_header(message: Message) -> bytes:
    """Return the payload of the content header frame for publishing a message, always persistent (`delivery_mode` 2).

    The bytes are equal to pamqp's bytes, but pamqp takes several times as long. Raises TypeError or ValueError for
    properties that AMQP cannot carry.
    """
    texts = (
        *(message.content_type, message.content_encoding, message.correlation_id, message.reply_to),
        *(message.message_id, message.type, message.app_id),
    )
    flags, parts = PERSISTENT, []
    for flag, text in zip(TEXT_FLAGS, texts, strict=True):
        flags |= flag if text else 0
        parts.append(encode.short_string(text) if text else b"")  # pamqp leaves an empty text out
    parts.insert(2, b"\x02")
    if message.headers:
        flags |= HEADERS
        parts.insert(2, encode.field_table(cast(Any, dict(message.headers))))
    if message.timestamp is not None:
        flags |= TIMESTAMP
        parts.insert(-2, encode.timestamp(message.timestamp))
    return HEADER_START.pack(commands.Basic.frame_id, 0, len(message.body), flags) + b"".join(parts)


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return FRAME_START.pack(kind, channel, len(payload)) + payload + FRAME_END
