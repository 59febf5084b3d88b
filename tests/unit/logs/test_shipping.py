"""Log shipping writes the frames that the library would write, from a limited buffer that counts dropped records."""

from datetime import UTC, datetime

import pytest
from pamqp import commands, frame, header

from mailpact_cli.log_shipping import BUSY_EVERY_SECONDS, EVERY_SECONDS, Buffer, Encoder, pause_after

SECOND = 1_796_000_000


@pytest.mark.parametrize("text", ["{}", "x" * 4088, "x" * 4089, "x" * 65_536, ""])
def test_frames_are_those_that_the_library_would_write(text: str) -> None:
    encoded = Encoder("logs", "consumer").frames(("warning", text, SECOND), 3)

    decoded = []
    while encoded:
        size, channel, value = frame.unmarshal(encoded)
        assert channel == 3
        decoded.append(value)
        encoded = encoded[size:]
    publish, content, *bodies = decoded
    assert isinstance(publish, commands.Basic.Publish)
    assert isinstance(content, header.ContentHeader)
    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("logs", "warning", False)
    assert content.body_size == len(text)
    properties = content.properties
    assert (properties.content_type, properties.message_type) == ("application/json", "log.v1")
    assert (properties.app_id, properties.timestamp) == ("consumer", datetime.fromtimestamp(SECOND, UTC))
    assert b"".join(body.value for body in bodies) == text.encode()
    assert all(len(body.value) <= 4088 for body in bodies)


def test_a_full_buffer_drops_the_oldest_and_counts_them() -> None:
    buffer = Buffer(records=3)
    for number in range(5):
        buffer.put(("info", str(number), SECOND))

    assert (len(buffer), buffer.lost) == (3, 2)
    assert [text for _, text, _ in buffer.take(10)] == ["2", "3", "4"]


def test_a_buffer_is_bounded_in_bytes_too() -> None:
    buffer = Buffer(size_bytes=10)
    for _ in range(5):
        buffer.put(("info", "four", SECOND))

    assert (len(buffer), buffer.lost) == (2, 3)


@pytest.mark.parametrize(
    ("shipped", "left", "seconds"),
    [
        (0, 0, EVERY_SECONDS),
        (99, 0, EVERY_SECONDS),
        (100, 0, BUSY_EVERY_SECONDS),
        (1_000, 99, BUSY_EVERY_SECONDS),
        (1_000, 100, EVERY_SECONDS),  # there are more records than one batch takes
        (1, 5_000, EVERY_SECONDS),  # the first batch of a connection is one record
    ],
)
def test_busy_service_waits_for_a_larger_batch_unless_enough_records_wait(
    shipped: int, left: int, seconds: float
) -> None:
    assert pause_after(shipped, left=left) == seconds


def test_a_batch_is_bounded_in_records_and_in_bytes() -> None:
    buffer = Buffer()
    for _ in range(40):
        buffer.put(("info", "x" * 65_536, SECOND))

    assert len(buffer.take(5)) == 5
    assert len(buffer.take(1_000)) == 16  # a megabyte, and what remains of the last record
