"""Which headers of a received message are published again."""

from decimal import Decimal

import pytest
from pamqp import decode, encode

from mailpact_consumer.headers import republished


@pytest.mark.parametrize(
    "name",
    [
        *("x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"),
        *("x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"),
        *("x-delivery-count", "x-acquired-count", "CC", "BCC"),
    ],
)
def test_a_header_is_left_behind_that_a_broker_would_act_on(name: str) -> None:
    assert republished({name: "x", "kept": 1}) == {"kept": 1}


@pytest.mark.parametrize(
    "name", ["traceparent", "x-deaths", "cc", "x-priority", "x-error-code", "x-maybe-sent", "n" * 128]
)
def test_headers_are_kept_that_only_look_alike(name: str) -> None:
    assert republished({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "value",
    [1e300, Decimal(2**31), "\ud800", [1e300], {"deep": b"\xff"}, object()],
    ids=["double", "decimal", "surrogate", "in a list", "bytes in a table", "no AMQP type"],
)
def test_what_could_not_be_encoded_is_left_behind(value: object) -> None:
    assert republished({"odd": value, "n" * 129: 1, "ours": 1}) == {"ours": 1}


def test_text_that_is_not_utf_8_is_kept_as_bytes() -> None:
    again = republished({"name": b"caf\xe9"})

    _, sent = decode.field_table(encode.field_table(again))
    assert sent == {"name": bytearray(b"caf\xe9")}
