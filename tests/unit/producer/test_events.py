"""The message that a registration sends."""

import json
from datetime import UTC, datetime

import pytest

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact.contracts.errors import Refusal
from mailpact_producer.events import Writer, mail_body
from mailpact_producer.mails import Mail, MailTexts

WRITER = Writer(catalogue.load(), "email/2")
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
END = 1_795_000_000_999_999  # microseconds since 1970

TEXTS = MailTexts("https://cms.example", "Our site")
MAILS = [
    TEXTS.confirm_address("ada@example.org", "Ada", "SECRET", END),
    TEXTS.account_exists("ada@example.org", "Ada"),
    TEXTS.reset_password("ada@example.org", "Ada", "SECRET", END),
    TEXTS.password_changed("ada@example.org", "Ada"),
    TEXTS.change_address("ada@example.org", "Ada", "SECRET", END),
    TEXTS.address_changed("ada@example.org", "Ada"),
    TEXTS.account_deleted("ada@example.org", "Ada"),
]


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.template)
def test_every_mail_is_a_message_of_its_contract(mail: Mail) -> None:
    message = WRITER.message(mail_body(mail), message_id=ID, made_at_seconds=0)

    assert isinstance(message, Message), message
    body = json.loads(message.body)
    assert body["to"] == [{"address": "ada@example.org"}]
    assert body["template"]["data"]["name"] == "Ada"
    assert "SECRET" not in repr(mail)


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.template)
def test_mail_ends_when_its_link_ends_and_a_mail_without_a_link_never(mail: Mail) -> None:
    body = json.loads(mail_body(mail))

    has_link = "SECRET" in json.dumps(body)
    assert body.get("expires_at") == ("2026-11-18T11:06:40Z" if has_link else None)


def test_link_is_built_from_the_site_s_own_address() -> None:
    data = json.loads(mail_body(MAILS[0]))["template"]["data"]

    assert data["confirm_url"] == "https://cms.example/confirm?token=SECRET"


@pytest.mark.parametrize("name", ["{{ confirm_url }}", "a" * 100, "<b>", "\U0001f600", '"\\'])
def test_any_name_of_a_reader_can_stand_in_a_mail(name: str) -> None:
    body = mail_body(TEXTS.confirm_address("ada@example.org", name, "SECRET", END))

    assert WRITER.check(body) is None
    assert json.loads(body)["template"]["data"]["name"] == name


def test_message_has_the_properties_that_the_contract_asks_of_writers() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    message = WRITER.message(
        mail_body(MAILS[0]), message_id=ID, made_at_seconds=1_795_000_000, traceparent=trace
    )

    assert isinstance(message, Message)
    assert (message.message_id, message.type, message.content_type) == (ID, "email.v2", "application/json")
    assert message.timestamp == datetime.fromtimestamp(1_795_000_000, UTC)
    assert (message.app_id, message.headers) == ("mailpact-producer", {"traceparent": trace})


@pytest.mark.parametrize(
    ("change", "pointer", "keyword"),
    [
        ({"extra": 1}, "", "additionalProperties"),
        ({"to": []}, "/to", "minItems"),
        ({"to": [{"address": "ada@localhost"}]}, "/to/0/address", "pattern"),
        ({"expires_at": "tomorrow"}, "/expires_at", "pattern"),
    ],
)
def test_body_that_breaks_the_schema_for_writers_is_no_message(
    change: dict[str, object], pointer: str, keyword: str
) -> None:
    body = json.dumps(json.loads(mail_body(MAILS[0])) | change).encode()

    refusal = WRITER.message(body, message_id=ID, made_at_seconds=0)

    assert isinstance(refusal, Refusal)
    assert (refusal.pointer, refusal.keyword) == (pointer, keyword)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"confirm_url": "javascript:alert(1)"}, "/template/data/confirm_url"),
        ({"name": "two\nlines"}, "/template/data/name"),
        ({"extra": 1}, "/template/data"),
        ({"valid_minutes": 0}, "/template/data/valid_minutes"),
    ],
)
def test_data_that_break_the_template_s_contract_are_no_message(
    change: dict[str, object], pointer: str
) -> None:
    members = json.loads(mail_body(MAILS[0]))
    members["template"]["data"] |= change

    refusal = WRITER.check(json.dumps(members).encode())

    assert isinstance(refusal, Refusal)
    assert refusal.pointer == pointer


def test_bytes_that_this_process_has_checked_are_not_checked_again_and_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer, body = Writer(catalogue.load(), "email/2"), mail_body(MAILS[0])
    checked: list[bytes] = []
    check = writer.check

    def noted(each: bytes) -> Refusal | None:
        checked.append(each)
        return check(each)

    monkeypatch.setattr(writer, "check", noted)

    first = writer.new_message(body, message_id=ID, made_at_seconds=0)
    published = writer.message(body, message_id=ID, made_at_seconds=0)

    assert first == published
    assert checked == [body]
    writer.message(body, message_id=ID, made_at_seconds=0)
    assert checked == [body, body]
    assert isinstance(writer.new_message(b"{}", message_id=ID, made_at_seconds=0), Refusal)
    assert isinstance(writer.message(b"{}", message_id=ID, made_at_seconds=0), Refusal)


def test_address_with_half_a_surrogate_pair_is_refused_and_raises_nothing() -> None:
    assert not WRITER.is_mailable("\ud800@example.org")
