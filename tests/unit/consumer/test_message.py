"""The identity of a message is read from its AMQP properties."""

from datetime import UTC, datetime

import pytest

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.email_2 import Policy
from mailpact_consumer.mailbox import Identities, Mailbox
from mailpact_consumer.message import (
    Identity,
    MailRequest,
    identify,
    may_have_been_sent,
    read,
    readers,
    replay_of,
)
from mailpact_consumer.template_folder import load_templates

BODY = b'{"email": "ada@example.org", "message": "Hello"}'
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
CMS = Mailbox("cms@mail.example")
POLICY = Policy(CMS, Identities().and_of(CMS), load_templates(catalogue.load()))
SERVED = readers(catalogue.load(), POLICY)
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


ASSIGNED = Identity("assigned", None, is_known=False)


def identified(**properties: object) -> Identity:
    return identify(Message(BODY, **properties), assigned_id="assigned")  # type: ignore[arg-type]  # shorthand


@pytest.mark.parametrize("given", [ID, ID.upper()])
def test_key_of_a_uuid_is_the_uuid_in_lower_case(given: str) -> None:
    assert identified(message_id=given) == Identity(ID, None, is_known=True)


@pytest.mark.parametrize("given", [None, ""])
def test_message_without_an_id_is_given_one_and_known_for_it(given: str | None) -> None:
    assert identified(message_id=given) == ASSIGNED


@pytest.mark.parametrize(
    "given",
    [
        "order-43",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        ID.replace("-", ""),
        f" {ID}",
        f"{ID}\n",
        f"{{{ID}}}",
        "\u0665d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11",
    ],
)
def test_id_of_another_form_gives_one_key_for_one_body_and_another_for_another(given: str) -> None:
    first, again = identified(message_id=given), identified(message_id=given)
    other = identify(Message(BODY + b" ", message_id=given), assigned_id="assigned")

    assert first == again
    assert (first.publisher_id, first.is_known) == (given, True)
    assert len({first.key, other.key, "assigned", given}) == 4


def test_key_that_we_gave_is_read_first() -> None:
    headers = {"x-mailpact-id": ID.upper()}

    assert identified(headers=headers) == Identity(ID, None, is_known=True)
    assert identified(headers=headers, message_id="order-43") == Identity(ID, "order-43", is_known=True)
    assert identified(headers=headers, message_id=ID) == Identity(ID, None, is_known=True)


@pytest.mark.parametrize("strange", ["order-43", b"x", 5, None, ["a"]])
def test_key_header_of_another_form_is_nobodys(strange: object) -> None:
    assert identified(headers={"x-mailpact-id": strange}) == ASSIGNED


@pytest.mark.parametrize(
    ("headers", "is_known", "redelivered", "expected"),
    [
        ({}, True, False, False),
        ({}, True, True, False),
        ({}, False, False, False),
        ({}, False, True, True),
        ({"x-maybe-sent": True}, True, False, True),
    ],
)
def test_message_may_have_been_sent_if_nothing_tells_its_earlier_deliveries(
    headers: dict[str, object], is_known: bool, redelivered: bool, expected: bool
) -> None:
    identity = Identity(ID, None, is_known)

    assert may_have_been_sent(Message(BODY, headers=headers), identity, redelivered=redelivered) is expected


@pytest.mark.parametrize(
    ("headers", "is_replay"),
    [
        ({}, False),
        ({"x-recipient": "ada@example.org"}, False),
        ({"x-failed-token": "t"}, False),
        ({"x-recipient": "ada@example.org", "x-failed-token": 5}, False),
        ({"x-recipient": "ada@example.org", "x-failed-token": "t"}, True),
    ],
)
def test_letter_of_a_recipient_that_was_moved_back_is_a_replay(
    headers: dict[str, object], is_replay: bool
) -> None:
    assert (replay_of(Message(BODY, headers=headers)) is not None) == is_replay


def test_headers_beyond_the_contracts_limit_are_refused() -> None:
    message = Message(BODY, headers={"x": "h" * 40_000})

    result = read(message, SERVED, ASSIGNED, now=NOW)

    assert isinstance(result, Refusal)
    assert result.code is ErrorCode.TOO_LARGE


def test_what_a_broker_adds_does_not_make_headers_too_large() -> None:
    deaths = [{"queue": "q" * 200, "reason": "rejected", "count": count} for count in range(200)]

    result = read(Message(BODY, headers={"x-death": deaths}), SERVED, ASSIGNED, now=NOW)

    assert isinstance(result, MailRequest)
