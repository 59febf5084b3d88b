"""What the AMQP properties say of a message."""

import pytest

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.message import MailRequest, message_id_of, read, readers

BODY = b'{"email": "ada@example.org", "message": "Hello"}'
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
SERVED = readers(catalogue.load())


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        (ID, ID),
        (ID.upper(), ID),
        (None, None),
        ("", None),
        (ID.replace("-", ""), None),
        (f" {ID}", None),
        (f"{ID}\n", None),
        (f"{{{ID}}}", None),
        ("\u0665d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11", None),
    ],
)
def test_message_id_is_a_uuid_in_lower_case_or_none(given: str | None, canonical: str | None) -> None:
    assert message_id_of(Message(BODY, message_id=given)) == canonical


@pytest.mark.parametrize(("own", "used"), [(ID, ID), (None, "assigned")])
def test_message_without_an_id_is_given_one_and_known_for_it(own: str | None, used: str) -> None:
    request = read(Message(BODY, message_id=own), SERVED, assigned_id="assigned")

    assert isinstance(request, MailRequest)
    assert (request.message_id, request.has_own_id) == (used, own is not None)


def test_email_2_is_published_and_not_served_yet() -> None:
    asked = catalogue.load().contract("email/2").wire.type

    result = read(Message(BODY, type=asked, content_type="application/json"), SERVED, assigned_id=ID)

    assert isinstance(result, Refusal)
    assert result.code is ErrorCode.UNSUPPORTED_VERSION


def test_headers_beyond_the_contracts_limit_are_refused() -> None:
    message = Message(BODY, headers={"x": "h" * 40_000})

    result = read(message, SERVED, assigned_id=ID)

    assert isinstance(result, Refusal)
    assert result.code is ErrorCode.TOO_LARGE


def test_what_a_broker_adds_does_not_make_headers_too_large() -> None:
    deaths = [{"queue": "q" * 200, "reason": "rejected", "count": count} for count in range(200)]

    result = read(Message(BODY, headers={"x-death": deaths}), SERVED, assigned_id=ID)

    assert isinstance(result, MailRequest)
