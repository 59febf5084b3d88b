"""The message that a registration sends."""

import json
import re
from datetime import UTC, datetime

import pytest

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact.contracts.errors import Refusal
from mailpact_producer.events import Writer, mail_body
from mailpact_producer.mails import Mail, MailTexts

WRITER = Writer(catalogue.load().contract("email/1"))
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"


TEXTS = MailTexts("https://cms.example", "Our site")
MAILS = [
    TEXTS.confirm_address("ada@example.org", "Ada", "SECRET"),
    TEXTS.account_exists("ada@example.org", "Ada"),
    TEXTS.reset_password("ada@example.org", "Ada", "SECRET"),
    TEXTS.password_changed("ada@example.org", "Ada"),
    TEXTS.change_address("ada@example.org", "Ada", "SECRET"),
    TEXTS.address_changed("ada@example.org", "Ada"),
    TEXTS.account_deleted("ada@example.org", "Ada"),
]


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.template)
def test_every_mail_is_a_message_of_its_contract(mail: Mail) -> None:
    message = WRITER.message(mail_body(mail), message_id=ID, made_at_seconds=0)

    assert isinstance(message, Message)
    body = json.loads(message.body)
    assert body["email"] == "ada@example.org"
    assert "Ada" in body["message"]
    assert "{" not in body["message"]
    assert "SECRET" not in repr(mail)


def test_link_is_built_from_the_site_s_own_address() -> None:
    (link,) = re.findall(r"https?://\S+", json.loads(mail_body(MAILS[0]))["message"])

    assert link == "https://cms.example/confirm?token=SECRET"


def test_name_that_looks_like_a_place_in_the_text_stays_a_name() -> None:
    body = mail_body(TEXTS.confirm_address("ada@example.org", "{confirm_url}", "SECRET"))

    assert body.count(b"SECRET") == 1


def test_message_has_the_properties_that_the_contract_asks_of_writers() -> None:
    message = WRITER.message(mail_body(MAILS[0]), message_id=ID, made_at_seconds=1_795_000_000)

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
