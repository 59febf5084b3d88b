import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from mailpact_devbroker import frames
from mailpact_devbroker.errors import AmqpError
from mailpact_devbroker.frames import Decoder, Frame, Kind

STREAM = frames.encode(1, commands.Queue.Declare(queue="q", durable=True, arguments={"x-max-length": 1}))
STREAM += frames.encode_content(
    1, commands.Basic.Publish(routing_key="q"), b"\0\x3c" + b"\0" * 12, b"body", 131_072
)
STREAM += frames.HEARTBEAT


def test_a_stream_is_cut_into_its_frames_however_it_arrives():
    decoder = Decoder()
    found: list[Frame] = []

    for byte in STREAM:
        decoder.feed(bytes((byte,)))
        found += decoder.frames()

    assert [frame.kind for frame in found] == [
        Kind.METHOD,
        Kind.METHOD,
        Kind.HEADER,
        Kind.BODY,
        Kind.HEARTBEAT,
    ]
    assert found[3] == Frame(Kind.BODY, 1, b"body")


def test_a_method_survives_encoding_and_decoding():
    declared = commands.Queue.Declare(queue="q", durable=True, arguments={"x-max-length": 1})

    decoded = frames.decode_method(frames.encode_method(declared))

    assert dict(decoded) == dict(declared)


def test_a_long_body_is_sent_in_frames_of_the_negotiated_size():
    encoded = frames.encode_content(
        1, commands.Basic.Deliver("c", 1, False, "", "q"), b"h", b"x" * 10_000, 4_096
    )
    decoder = Decoder()
    decoder.frame_max = 4_096

    decoder.feed(encoded)

    sizes = [len(frame.payload) for frame in decoder.frames() if frame.kind is Kind.BODY]
    assert sizes == [4_088, 4_088, 1_824]


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (b"\x01\x00\x01\x7f\xff\xff\xff", "at most 131072 are allowed"),
        (b"\x03\x00\x01\x00\x00\x00\x01a\x00", "frame ends in 0x00 instead of 0xce"),
        (b"\x07\x00\x01\x00\x00\x00\x00\xce", "frame of type 7"),
    ],
)
def test_a_stream_that_makes_no_sense_is_a_501(stream: bytes, complaint: str):
    decoder = Decoder()
    decoder.feed(stream)

    with pytest.raises(AmqpError, match=complaint) as refused:
        list(decoder.frames())

    assert refused.value.code == 501


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x00\x32\x00\x63", 540),
        (b"", 540),
        (b"\x00\x3c\x00\x64\x01", 540),
        (b"\x00\x32\x00\x0a\x00", 501),
        (b"\x00\x32\x00\x0a\x00\x00\x01q\x00\x00\x00\x00\x07\x01aT" + b"\xff" * 8, 501),
        (b"\x00\x32\x00\x0a\x00\x00\x01q\x00" + b"".join(
            (5 * depth + 2).to_bytes(4) + (b"\x00F" if depth else b"\x00V") for depth in range(3_000, -1, -1)
        ), 501),
    ],
    ids=["unknown method", "empty", "basic.recover-async", "cut short", "time out of range", "nested 3,000 deep"],
)  # fmt: skip
def test_a_method_that_cannot_be_read_is_refused(payload: bytes, code: int):
    with pytest.raises(AmqpError) as refused:
        frames.decode_method(payload)

    assert refused.value.code == code


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_mutated_stream_is_read_or_refused_and_never_breaks(mutations: list[tuple[int, int]]):
    stream = bytearray(STREAM)
    for place, value in mutations:
        stream[place] = value
    decoder = Decoder()
    decoder.feed(bytes(stream))
    refusals: list[AmqpError] = []

    try:
        for frame in decoder.frames():
            if frame.kind is Kind.METHOD:
                frames.decode_method(frame.payload)
    except AmqpError as refusal:
        refusals.append(refusal)

    assert all(refusal.closes_connection for refusal in refusals)
