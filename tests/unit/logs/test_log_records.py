"""Log records obey log/1 whatever is logged, and never contain an address."""

import json

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact_cli.log_records import HIDDEN, MAX_BYTES, cleaned, json_text

CONTRACT = catalogue.load().contract("log/1")
BEGIN = {"timestamp": "2026-11-24T09:00:00.123456Z", "level": "info", "event": "connected"}


def record(**more: object) -> dict[str, object]:
    """Return the record as a strict reader of the contract gets it."""
    body = json_text(cleaned(BEGIN | more)).encode()
    value = parse(
        body, max_bytes=CONTRACT.wire.limits.max_body_bytes, max_depth=CONTRACT.wire.limits.max_depth
    )
    assert not isinstance(value, Refusal), value
    assert Validator(CONTRACT.writer_schema).check(value) is None
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.org",
        "550 5.1.1 <ada.o'neil+ns@mail.example.org>: no such user",
        "ädä@exämple.de",
        '"ada lovelace"@example.org',
        "mailto:ada@localhost",
        "ada@[192.0.2.1]",
    ],
)
@pytest.mark.parametrize("place", ["value", "in a list", "in an object", "a name", "an exception", "event"])
def test_no_address_stands_in_a_record(text: str, place: str) -> None:
    values: dict[str, dict[str, object]] = {
        "value": {"reason": text},
        "in a list": {"reason": [[text], (text,), {text}]},
        "in an object": {"reason": {"smtp": {"reply": text}}},
        "a name": {"reason": {text: 1}},
        "an exception": {"reason": ValueError(text)},
        "event": {"event": text},
    }
    said = json.dumps(record(**values[place]))

    assert HIDDEN in said
    assert not any(part in said for part in ("ada", "lovelace", "192.0.2.1", "u00e4"))


@pytest.mark.parametrize(
    "text",
    [
        "amqp://guest:***@127.0.0.1:5672",
        "amqps://me:***@rabbit.internal/v",
        "2 @ 3",
        "@property",
        "a@",
        "user@0x7f",
    ],
)
def test_urls_without_their_password_stay_readable(text: str) -> None:
    assert record(reason=text)["reason"] == text


def test_values_that_json_cannot_carry_are_written_as_text() -> None:
    deep: object = "end"
    for _ in range(100):
        deep = [deep]

    told = record(a=float("nan"), b=float("-inf"), c=object, d=b"\xff", e={1: 2**70}, f="\ud800", g=deep)

    assert (told["a"], told["b"]) == ("nan", "-inf")
    assert (told["d"], told["e"], told["f"]) == ("b'\\xff'", {"1": hex(2**70)}, "\\ud800")


def test_a_record_that_is_too_long_says_so() -> None:
    told = record(event="x" * 2_000, body="y" * MAX_BYTES, service="shop")

    assert told == BEGIN | {"event": "x" * 1_000, "service": "shop", "cut": True}
