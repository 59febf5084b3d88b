"""Log records are read, sorted, filtered and printed; control characters do not reach the terminal."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact_cli.logs.record import CONTRACT, Choice, Level, Reader, as_json, as_text
from mailpact_cli.logs.show import InOrder

VECTORS = Path(__file__).parents[3] / "contracts" / "log" / "1" / "vectors"
READER = Reader(catalogue.load().contract(CONTRACT), utc_now=lambda: datetime(2026, 11, 28, tzinfo=UTC))
BAD = "a message on exchange logs is no record of log/1"


def read(app_id: str | None = None, **members: object):
    whole = {"timestamp": "2026-11-24T09:00:00Z", "level": "info", "event": "connected"} | members
    return READER.read(Message(json.dumps(whole).encode(), app_id=app_id))


def vectors(kind: str) -> list[Path]:
    """Return the vectors that have a body; their properties make no difference here."""
    return [
        path
        for path in sorted((VECTORS / kind).glob("*.json"))
        if "body" in (vector := json.loads(path.read_text()))
        and vector["rule"] not in ("content_type", "type")
    ]


@pytest.mark.parametrize("path", vectors("valid"), ids=lambda path: path.stem)
def test_valid_records_are_shown_as_they_came(path: Path) -> None:
    body = json.loads(path.read_text())["body"]

    record = READER.read(Message(body.encode()))

    assert record.members == json.loads(body)
    assert (
        json.loads(as_json(record)).items()
        >= {name: value for name, value in json.loads(body).items() if name != "service"}.items()
    )


def test_what_is_no_record_is_reported_with_its_size_and_without_its_body() -> None:
    record = READER.read(Message(b'{"secret": "ada@example.org"}', app_id="shop"))

    assert (record.members["event"], record.members["bytes"], record.service) == (BAD, 29, "shop")
    assert "ada" not in as_json(record) + as_text(record, is_coloured=False)
    assert READER.read(Message(as_json(record).encode())).members["event"] == BAD  # itself a record


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{" * 70_000, b'{"a": NaN}', b'{"a":1,"a":1}'])
def test_bytes_of_any_kind_are_survived(body: bytes) -> None:
    assert READER.read(Message(body)).members["event"] == BAD


def test_moments_are_compared_over_zones_fractions_and_leap_seconds() -> None:
    ordered = [
        "2026-02-30T09:00:00Z",  # the contract allows it, the calendar does not
        "2026-11-24T10:00:00+02:00",
        "2026-11-24T09:00:00Z",
        "2026-11-24T09:00:00.000000001Z",
        "2026-11-24T09:00:00.1Z",
        "2026-11-24T09:00:00.123456Z",
        "2026-11-24T08:30:00-01:00",
        "2026-11-24T09:59:60Z",
        "2026-11-24T10:00:00.5Z",
    ]

    moments = [read(timestamp=text).moment for text in ordered]

    assert moments == sorted(moments)


@pytest.mark.parametrize(
    ("service", "app_id", "expected"),
    [
        ("shop", None, "shop"),
        ({"name": "shop"}, None, "shop"),
        (None, "shop", "shop"),
        ("", "x", "x"),
        (7, None, ""),
    ],
)
def test_service_is_a_text_however_it_was_said(service: object, app_id: str | None, expected: str) -> None:
    assert read(app_id, service=service).service == expected


@pytest.mark.parametrize(
    ("level", "is_shown"),
    [
        ("info", False),
        ("NOTICE", False),
        ("warning", True),
        ("WARN", True),
        ("fatal", True),
        ("gloomy", True),
    ],
)
def test_a_level_means_itself_and_what_is_worse_or_unknown(level: str, *, is_shown: bool) -> None:
    assert Choice(level=Level.WARNING).has(read(level=level)) is is_shown


def test_records_are_chosen_by_service_and_by_message() -> None:
    record = read(service="shop", message_id="0D9F", publisher_message_id="order-1")

    assert Choice(service="shop", message_id="0d9f").has(record)
    assert Choice(message_id="ORDER-1").has(record)
    assert not Choice(service="sho").has(record)
    assert not Choice(message_id="0d9").has(record)


def test_no_control_character_reaches_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\u2028\x9b"
    record = read(service=evil, event=evil, exception=f"a\n{evil}", **{evil: evil, "more": {evil: evil}})

    text = as_text(record, is_coloured=False)

    assert "".join(text.split("\n")).isprintable()
    assert as_json(record).isascii()


def test_colours_are_for_terminals_and_exceptions_have_lines_of_their_own() -> None:
    record = read(level="error", exception="Traceback\n  File", attempt=3, reason="")

    plain, coloured = as_text(record, is_coloured=False), as_text(record, is_coloured=True)

    assert plain.splitlines()[0].endswith('connected  attempt=3 reason=""')
    assert plain.splitlines()[1:] == ["    Traceback", "      File"]
    assert coloured.splitlines()[0] == f"\x1b[31m{plain.splitlines()[0]}\x1b[0m"


def test_records_that_come_within_a_second_are_put_in_order() -> None:
    in_order, first, second = InOrder(), read(timestamp="2026-11-24T09:00:01Z"), read()
    in_order.put(first, now=10.0)
    in_order.put(second, now=10.9)

    assert list(in_order.due(now=11.5)) == []
    assert list(in_order.due(now=12.5)) == [second, first]
