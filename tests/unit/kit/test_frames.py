"""AMQP frames are read from arbitrary bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp import frame as pamqp_frame

from mailpact_kit.frames import (
    MAX_FRAME_BYTES,
    ContentBody,
    ContentHeader,
    Frame,
    FrameReader,
    Method,
    Undecodable,
)

ACK = pamqp_frame.marshal(commands.Basic.Ack(delivery_tag=7), 1)


def fed(*pieces: bytes) -> list[Frame]:
    """Feed the pieces to one reader."""
    reader = FrameReader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


def test_recorded_conversation_is_read_by_the_names_of_the_specification(recorded: dict[str, bytes]) -> None:
    names = [frame.name for frame in fed(recorded["program"]) if isinstance(frame, Method)]

    assert names == [
        *("connection.start-ok", "connection.tune-ok", "connection.open", "channel.open", "confirm.select"),
        *("basic.qos", "basic.publish", "basic.publish", "basic.consume", "basic.ack", "basic.cancel"),
        *("channel.close", "connection.close"),
    ]


def test_publish_is_read_with_its_content(recorded: dict[str, bytes]) -> None:
    frames = fed(recorded["program"])
    at = next(
        i for i, frame in enumerate(frames) if isinstance(frame, Method) and frame.name == "basic.publish"
    )
    method, header, body = frames[at : at + 3]

    assert isinstance(method, Method)
    assert method.arguments == {"exchange": "email", "routing_key": "", "mandatory": True, "immediate": False}
    assert isinstance(header, ContentHeader)
    assert header.properties == {
        "content_type": "text/plain",
        "message_id": "6f1e0c1c-0000-4000-8000-000000000001",
        "type": "email.v1",
    }
    assert body == ContentBody(1, b'{"email": "a@kit.example", "message": "x"}')


@pytest.mark.parametrize("side", ["program", "broker"])
@given(data=st.data())
def test_pieces_of_any_length_are_read_alike(
    recorded: dict[str, bytes], side: str, data: st.DataObject
) -> None:
    stream = recorded[side]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    bounds = [0, *sorted(cuts), len(stream)]

    assert fed(*(stream[begin:end] for begin, end in itertools.pairwise(bounds))) == fed(stream)


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_raises_nothing_and_the_framing_is_given_up_once(pieces: list[bytes]) -> None:
    frames = fed(*pieces, b"\x00" * 8)

    assert sum(isinstance(frame, Undecodable) and "no AMQP frame" in frame.reason for frame in frames) <= 1


@given(at=st.integers(8, 300), byte=st.integers(0, 255))
def test_a_changed_byte_raises_nothing(recorded: dict[str, bytes], at: int, byte: int) -> None:
    stream = bytearray(recorded["program"])
    stream[at] = byte

    assert fed(bytes(stream), bytes(MAX_FRAME_BYTES))


def test_frame_that_cannot_be_decoded_is_skipped() -> None:
    unknown_method = b"\x01\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff\xce"

    skipped, ack = fed(unknown_method + ACK)

    assert isinstance(skipped, Undecodable)
    assert ack == Method(1, "basic.ack", {"delivery_tag": 7, "multiple": False})


def test_nothing_is_concluded_behind_broken_framing() -> None:
    frames = fed(ACK[:-1] + b"\x00" + ACK, ACK)

    assert [type(frame) for frame in frames] == [Undecodable]


def test_frame_that_claims_to_be_huge_is_not_waited_for() -> None:
    start = b"\x03\x00\x01" + (MAX_FRAME_BYTES + 1).to_bytes(4)

    assert [type(frame) for frame in fed(start)] == [Undecodable]


def test_heartbeats_and_protocol_headers_are_left_out() -> None:
    assert fed(b"AMQP\x00\x00\x09\x01\x08\x00\x00\x00\x00\x00\x00\xce") == []
