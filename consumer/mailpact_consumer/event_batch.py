"""Publishes many status events as one write, and counts their confirms together.

aiormq's `basic_publish` makes two futures, a lock, a timer and several callbacks for each message. This costs more
than all other work for a status event. A batch shares these objects: its frames are one entry of the connection's
write queue, and one future ends with the last confirm. The messages are not `mandatory`, so none is returned.
"""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp import commands, header
from pamqp.frame import marshal

from mailpact.amqp.messages import Message
from mailpact.amqp.outcome import Outcome
from mailpact.amqp.publisher import Publisher

FRAME_START = struct.Struct(">BHI")
HEADER_START = struct.Struct(">HHQH")  # class, weight, size of the body, flags
# AMQP 0-9-1, 4.2.6.1: content_type, content_encoding, correlation_id, reply_to, message_id, type and app_id.
TEXT_FLAGS = (1 << 15, 1 << 14, 1 << 10, 1 << 9, 1 << 7, 1 << 5, 1 << 3)
PERSISTENT, TIMESTAMP = 1 << 12, 1 << 6
SHORT_TEXT_BYTES = 255
HEADER_FRAME, BODY_FRAME, FRAME_END = 2, 3, b"\xce"

Routed = tuple[str, Message]
"""A routing key and its message."""


@dataclass(slots=True, eq=False)
class _Batch:
    """The outcomes of one batch; UNKNOWN until the broker has answered."""

    outcomes: list[Outcome]
    answered: "asyncio.Future[None]" = field(repr=False)
    _open: int = 0

    def __post_init__(self) -> None:
        self._open = len(self.outcomes)

    def set_outcome(self, index: int, outcome: Outcome) -> None:
        """Record the broker's answer for one message."""
        self.outcomes[index] = outcome
        self._open -= 1
        if not self._open and not self.answered.done():
            self.answered.set_result(None)


class _Confirm:
    """The object that aiormq resolves at a confirm. It has the four methods of a future that aiormq calls."""

    __slots__ = ("_batch", "_index", "_is_done")

    def __init__(self, batch: _Batch, index: int) -> None:
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


async def publish_together(
    publisher: Publisher, messages: Sequence[Routed], *, exchange: str
) -> Sequence[Outcome]:
    """Publish messages without `mandatory` as one write, and wait at most 10 seconds for the answers.

    The caller must wait for one batch before the next. Ids may repeat, because no message is returned. Raises
    TypeError or ValueError for properties that AMQP cannot carry.
    """
    outcomes = [Outcome.UNKNOWN] * len(messages)
    is_sent = await publisher.lend(partial(_send, outcomes, messages, exchange), outcomes)
    return outcomes if is_sent else [Outcome.NOT_SENT] * len(messages)


async def _send(outcomes: list[Outcome], messages: Sequence[Routed], exchange: str, channel: Channel) -> None:
    """Send the messages and wait for all answers.

    Raises aiormq's errors for a closed channel. After a cancellation or an error, the channel's delivery tags may
    differ from the broker's tags, so the channel must not be used for further publishing.
    """
    batch = _Batch(outcomes, channel.create_future())  # the future fails if the channel closes
    payload = b"".join(_frames(channel, messages, exchange))
    async with channel.lock:  # the delivery tags must follow the order of the frames
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
        yield _frame(HEADER_FRAME, number, content_header(message))
        for start in range(0, len(body), most):
            yield _frame(BODY_FRAME, number, body[start : start + most])


def content_header(message: Message) -> bytes:
    """Return the payload of the content header frame for publishing a message.

    The bytes are equal to pamqp's bytes, but pamqp takes several times as long for properties without headers. Raises
    TypeError or ValueError for properties that AMQP cannot carry.
    """
    at = message.timestamp
    texts = [
        (text or "").encode()  # pamqp leaves an empty text out
        for text in (
            *(message.content_type, message.content_encoding, message.correlation_id, message.reply_to),
            *(message.message_id, message.type, message.app_id),
        )
    ]
    if message.headers or (at is not None and at.tzinfo is None) or max(map(len, texts)) > SHORT_TEXT_BYTES:
        return header.ContentHeader(properties=message.properties(), body_size=len(message.body)).marshal()
    flags = PERSISTENT
    for flag, text in zip(TEXT_FLAGS, texts, strict=True):
        flags |= flag if text else 0
    parts = [bytes((len(text),)) + text if text else b"" for text in texts]
    parts.insert(2, b"\x02")  # delivery_mode
    if at is not None:
        flags |= TIMESTAMP
        parts.insert(6, int(at.timestamp()).to_bytes(8))
    return HEADER_START.pack(commands.Basic.frame_id, 0, len(message.body), flags) + b"".join(parts)


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return FRAME_START.pack(kind, channel, len(payload)) + payload + FRAME_END
