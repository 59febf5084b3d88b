"""The records of messages are limited in number, joined by ids alone, and shown without secrets."""

import hashlib
import json
from typing import Any
from uuid import UUID

import pytest

from mailpact.contracts.errors import Refusal
from mailpact_capture.asked import HIDDEN, hidden, shown_body, shown_text, value_of
from mailpact_capture.journeys import MOST_BODIES, MOST_EVENTS, MOST_RECORDS, Asked, Journeys

ID = "0b6f2a7e-6a53-4d1c-9a58-0c6f6a1d2e3f"


def asked(message_id: str = ID, body: bytes | None = b"{}", **options: Any) -> Asked:
    given = {"type": "email.v2", "content_type": "application/json", "app_id": "shop", "made_at": None}
    given |= {"exchange": "email", "routing_key": "", "size": len(body or b""), "seen_us": 1} | options
    return Asked(message_id=message_id, sha256=hashlib.sha256(body or b"").hexdigest(), body=body, **given)


def event(number: int = 0, message_id: str = ID, **members: Any) -> dict[str, Any]:
    occurred_at = f"2026-11-28T10:00:{number % 60:02}Z"
    base = {"id": str(UUID(int=number)), "event": "deferred", "attempt": 1, "occurred_at": occurred_at}
    return base | {"message_id": message_id} | members


def test_message_is_found_by_its_id_in_any_case_and_copies_are_counted_once() -> None:
    journeys = Journeys()
    for _ in range(3):
        journeys.note_asked(asked(ID.upper()))

    heard = journeys.find(ID)

    assert heard is not None
    assert (len(heard.asked), heard.copies) == (1, 3)
    assert journeys.find("other") is None


def test_same_id_with_other_bodies_is_kept_up_to_a_bound() -> None:
    journeys = Journeys()
    for number in range(20):
        journeys.note_asked(asked(body=b"%d" % number))

    heard = journeys.find(ID)

    assert heard is not None
    assert (len(heard.asked), heard.copies, heard.left_out) == (MOST_BODIES, 20, 20 - MOST_BODIES)


def test_id_of_another_form_is_joined_where_an_event_says_so() -> None:
    journeys = Journeys()
    journeys.note_asked(asked("order 7"))
    journeys.note_event(event(publisher_message_id="order 7"), 100)

    heard, publishers = journeys.find(ID), journeys.find("order 7")

    assert heard is not None
    assert publishers is not None
    assert [each.message_id for each in journeys.asked_of(heard)[0]] == ["order 7"]
    assert publishers.keys == [ID]
    assert publishers.events == []  # another body with this id may have made another mail


def test_event_that_comes_twice_is_one_event() -> None:
    journeys = Journeys()
    for _ in range(2):
        journeys.note_event(event(), 100)

    assert len(journeys.find(ID).events) == 1  # type: ignore[union-attr]  # it was just noted


def test_message_without_an_id_is_counted_and_joined_to_nothing() -> None:
    journeys = Journeys()
    journeys.note_asked(asked(""))
    journeys.note_record({"message_id": ""}, 10)
    journeys.note_record({"message_id": 7}, 10)

    assert (journeys.nameless, len(journeys)) == (1, 0)


def test_memory_is_bounded_by_messages_by_bytes_and_for_each_message() -> None:
    journeys = Journeys(most_messages=50, most_bytes=200_000)
    for number in range(500):
        journeys.note_asked(asked(str(UUID(int=number)), b"x" * 10_000))
    for number in range(MOST_EVENTS + 10):
        journeys.note_event(event(number), 10)
    for number in range(MOST_RECORDS + 10):
        journeys.note_record({"message_id": ID, "event": str(number)}, 10)

    heard = journeys.find(ID)

    assert heard is not None
    assert len(journeys) <= 50
    assert journeys.size_bytes <= 200_000 or len(journeys) == 1
    assert (len(heard.events), len(heard.records), heard.left_out) == (MOST_EVENTS, MOST_RECORDS, 20)
    assert journeys.find(str(UUID(int=0))) is None
    assert journeys.forgotten >= 490


def test_body_is_shown_without_what_opens_accounts() -> None:
    body = {
        "to": [{"address": "ada@example.org"}],
        "template": {
            "name": "reset-password",
            "data": {
                "reset_url": "https://user:pw@site.example/reset?token=s3cret&n=1#frag=s3cret",
                "code": "123456",
                "password": ["s3cret"],
                "path_url": "https://site.example/c/0123456789abcdef0123456789",
            },
        },
        "attachments": [{"filename": "a.txt", "content": "c2VjcmV0" * 1000}],
        "metadata": {"api_key": 7, "order": "42"},
    }

    shown = shown_body(body)

    for secret in ("s3cret", "123456", "c2VjcmV0", "0123456789abcdef", "user:pw"):
        assert secret not in shown
    assert json.loads(shown)["metadata"] == {"api_key": HIDDEN, "order": "42"}
    assert "https://site.example/reset?token=…" in shown
    assert "ada@example.org" in shown


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"\xff", "invalid_encoding"),
        (b"[" * 100_000, "too_deep"),
        (b'"\\ud800"', "lone_surrogate"),
        (None, "too_large"),
    ],
)
def test_hostile_body_is_named_and_never_raises(body: bytes | None, code: str) -> None:
    value = value_of(asked(body=body))

    assert isinstance(value, Refusal)
    assert value.code == code


@pytest.mark.parametrize(
    "value", [None, True, 7, 1e300, "x" * 1_000_000, [[]], {"a": [1, None, {"content": 5}]}]
)
def test_any_json_can_be_shown_and_stays_short(value: Any) -> None:
    assert len(shown_body(value)) < 70_000
    assert hidden(value, "order") is not None or value is None


def test_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert shown_text("é" * 5_000).endswith("… (5000 characters)")
