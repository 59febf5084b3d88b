"""The message that a registration sends."""

import json
from datetime import UTC, datetime

import pytest

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact.contracts.errors import Refusal
from mailpact_producer.events import Writer, welcome_body

WRITER = Writer(catalogue.load().contract("email/1"))
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"


def test_registration_sends_title_blank_line_and_welcome() -> None:
    assert json.loads(welcome_body("ada@example.org")) == {
        "email": "ada@example.org",
        "message": (
            "You've successfully registered!\n\nWelcome to our CMS, ada@example.org! We're glad you could join us."
        ),
    }


def test_message_has_the_properties_that_the_contract_asks_of_writers() -> None:
    message = WRITER.message(welcome_body("ada@example.org"), message_id=ID, made_at_seconds=1_795_000_000)

    assert isinstance(message, Message)
    assert (message.message_id, message.type, message.content_type) == (ID, "email.v1", "application/json")
    assert message.timestamp == datetime.fromtimestamp(1_795_000_000, UTC)
    assert message.app_id == "mailpact-producer"


@pytest.mark.parametrize(
    ("body", "keyword"),
    [
        (b'{"email": "ada@example.org", "message": "m", "extra": 1}', "additionalProperties"),
        (b'{"email": "ada@example.org"}', "required"),
        (b'{"email": "ada@localhost", "message": "m"}', "pattern"),
    ],
)
def test_body_that_breaks_the_schema_for_writers_is_no_message(body: bytes, keyword: str) -> None:
    refusal = WRITER.message(body, message_id=ID, made_at_seconds=0)

    assert isinstance(refusal, Refusal)
    assert refusal.keyword == keyword


def test_address_with_half_a_surrogate_pair_is_refused_and_raises_nothing() -> None:
    assert not WRITER.is_mailable("\ud800@example.org")
