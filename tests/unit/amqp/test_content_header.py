import struct

import pytest
from aiormq.exceptions import InvalidFrameError
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from mailpact.amqp.content_header import decodable

FLAG = Basic.Properties.flags


def payload(**encoded: bytes) -> bytes:
    """Return a content header's payload with these properties in their encoded form, in the order of the flags."""
    flags = sum(FLAG[name] for name in encoded)
    properties = b"".join(encoded[name] for name in FLAG if name in encoded)
    return struct.pack(">HHQH", 60, 0, 7, flags) + properties


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def decoded(data: bytes) -> ContentHeader:
    header = ContentHeader()
    header.unmarshal(data)
    return header


def nested(depth: int) -> bytes:
    entries = b""
    for _ in range(depth):
        entries = b"\x01aF" + table(entries)
    return table(entries)


SOUND = {
    "content_type": short(b"text/plain"),
    "delivery_mode": b"\x02",
    "message_id": short(b"id"),
    "app_id": short(b"shop"),
}
ODD = {
    "timestamp in microseconds": {"timestamp": struct.pack(">Q", 1_700_000_000_000_000)},
    "timestamp of all bits": {"timestamp": b"\xff" * 8},
    "headers of an unknown type": {"headers": table(b"\x01aZ1234")},
    "headers with a name that is not UTF-8": {"headers": table(b"\x01\xe9V")},
    "headers with a timestamp of all bits": {"headers": table(b"\x01aT" + b"\xff" * 8)},
    "headers nested without end": {"headers": nested(5_000)},
    "headers that lie about a length": {"headers": table(b"\x01aA\xff\xff\xff\xff")},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_undecodable_property_is_left_out_and_the_others_stay(odd: dict[str, bytes]) -> None:
    mended = decoded(decodable(payload(**SOUND, **odd)))

    assert mended.body_size == 7
    assert mended.properties == Basic.Properties(
        content_type="text/plain", delivery_mode=2, message_id="id", app_id="shop"
    )


@pytest.mark.parametrize(
    "name",
    [
        "content_type",
        "content_encoding",
        "message_id",
        "message_type",
        "correlation_id",
        "reply_to",
        "app_id",
    ],
)
def test_text_that_is_not_utf_8_keeps_what_can_be_read(name: str) -> None:
    mended = decoded(decodable(payload(**{name: short(b"caf\xe9!")})))

    assert getattr(mended.properties, name) == "caf?!"


def test_text_of_255_bytes_does_not_outgrow_its_length_byte() -> None:
    mended = decoded(decodable(payload(message_id=short(b"\xff" * 255))))

    assert mended.properties.message_id == "?" * 255


def test_sound_headers_survive_beside_an_odd_property() -> None:
    headers = table(b"\x10x-delivery-countb\x03" + b"\x01dd" + struct.pack(">d", 1e300))

    mended = decoded(decodable(payload(headers=headers, timestamp=b"\xff" * 8)))

    assert mended.properties.headers == {"x-delivery-count": 3, "d": 1e300}


def test_what_pamqp_can_decode_is_not_touched() -> None:
    data = payload(**SOUND, timestamp=struct.pack(">Q", 1_700_000_000_000), headers=table(b"\x01aV"))

    assert decodable(data) == data


@pytest.mark.parametrize("length", [0, 11, 13, 14, 20])
def test_a_header_cut_short_is_refused(length: int) -> None:
    data = payload(**SOUND, timestamp=b"\xff" * 8)[:length]

    with pytest.raises(InvalidFrameError, match="cut short"):
        decodable(data)


@given(st.binary(max_size=80), st.integers(0, 0xFFFF))
def test_any_bytes_become_decodable_or_are_refused(properties: bytes, flags: int) -> None:
    data = struct.pack(">HHQH", 60, 0, 7, flags) + properties

    try:
        mended = decodable(data)
    except InvalidFrameError:
        return
    assert decoded(mended).body_size == 7
