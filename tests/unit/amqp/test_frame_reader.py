"""Deliveries are passed on by the connection; all other frames go to aiormq, whole and in order."""

import asyncio
import random
from typing import Any, NoReturn

import pytest
from aiormq.exceptions import InvalidFrameError
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from mailpact.amqp.transport import Delivered, _Frames

BODY = b"some bytes " * 50


def delivery(tag: int, *, channel: int = 1, properties: Basic.Properties | None = None) -> list[bytes]:
    """Return the frames of one delivery, whose body has two frames."""
    deliver = Basic.Deliver("consumer", tag, redelivered=tag % 2 == 0, exchange="email", routing_key="key")
    header = ContentHeader(
        properties=properties or Basic.Properties(message_id=f"m{tag}"), body_size=len(BODY)
    )
    parts: list[Any] = [deliver, header, ContentBody(BODY[:100]), ContentBody(BODY[100:])]
    return [frame.marshal(part, channel) for part in parts]


async def read_all(sent: bytes, received: list[Delivered], *, chance: random.Random) -> list[Any]:
    """Return the frames that aiormq gets, read in its steps, when the bytes arrive in pieces of any size."""
    stream = asyncio.StreamReader()
    reader = _Frames()
    reader.stream = stream
    reader.receivers[1] = received.append

    async def arrive() -> None:
        rest = sent
        while rest:
            size = chance.randrange(1, 300)
            stream.feed_data(rest[:size])
            rest = rest[size:]
            await asyncio.sleep(0)
        stream.feed_eof()

    arriving = asyncio.create_task(arrive())
    frames: list[Any] = []
    with pytest.raises(asyncio.IncompleteReadError):
        await read_on(reader, frames)
    await arriving
    return frames


async def read_on(reader: _Frames, frames: list[Any]) -> NoReturn:
    while True:
        start = await reader.readexactly(1) + await reader.readexactly(6)
        whole = start + await reader.readexactly(int.from_bytes(start[3:]) + 1)
        frames.append(frame.unmarshal(whole)[2])


@pytest.mark.parametrize("seed", range(10))
async def test_deliveries_on_a_channel_are_passed_on_and_other_frames_are_not(seed: int) -> None:
    others: list[Any] = [Basic.ConsumeOk("consumer"), Heartbeat(), Basic.CancelOk("consumer")]
    parts = [frame.marshal(others[0], 1), *delivery(1), *delivery(2), frame.marshal(others[1], 0)]
    parts += [*delivery(3, channel=2), *delivery(4), frame.marshal(others[2], 1)]
    received: list[Delivered] = []

    frames = await read_all(b"".join(parts), received, chance=random.Random(seed))

    assert [(tag, redelivered, message.message_id) for tag, redelivered, _, _, message in received] == [
        (1, False, "m1"),
        (2, True, "m2"),
        (4, True, "m4"),
    ]
    assert {(exchange, key, message.body) for _, _, exchange, key, message in received} == {
        ("email", "key", BODY)
    }
    # The delivery on the other channel has four frames. Heartbeats may have come in for aiormq's clock.
    kinds = [type(one).__name__ for one in frames if not isinstance(one, Heartbeat)]
    assert kinds == ["ConsumeOk", "Deliver", "ContentHeader", "ContentBody", "ContentBody", "CancelOk"]


async def test_aiormq_sees_a_heartbeat_where_only_deliveries_come() -> None:
    received: list[Delivered] = []

    frames = await read_all(b"".join(delivery(7)), received, chance=random.Random(0))

    assert [tag for tag, *_ in received] == [7]
    assert [type(one) for one in frames] == [Heartbeat]


async def test_delivery_with_a_property_that_cannot_be_decoded_is_passed_on() -> None:
    method, header, *bodies = delivery(1, properties=Basic.Properties(message_id="\x01x"))
    broken = header.replace(b"\x01x", b"\xffx")
    received: list[Delivered] = []

    await read_all(method + broken + b"".join(bodies), received, chance=random.Random(0))

    assert [(message.message_id, message.body) for *_, message in received] == [("?x", BODY)]


async def test_delivery_whose_header_is_cut_short_ends_the_connection() -> None:
    stream = asyncio.StreamReader()
    reader = _Frames()
    reader.stream = stream
    reader.receivers[1] = lambda _: None
    stream.feed_data(delivery(1)[0] + b"\x02\x00\x01\x00\x00\x00\x03abc\xce")

    with pytest.raises(InvalidFrameError, match="cut short"):
        await reader.readexactly(1)
