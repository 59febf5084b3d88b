"""A dead letter is the publisher's message with the reason, and can always be published."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact.amqp.batch import content_header
from mailpact.amqp.messages import Message
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.letter import (
    RecipientFailure,
    bridged,
    letter_about_recipient,
    letter_about_refusal,
    retry_copy,
)

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SCHEMA = Refusal(ErrorCode.SCHEMA, pointer="", keyword="required", detail="has no email")


def about_refusal(message: Message, refusal: Refusal = SCHEMA) -> Message:
    return letter_about_refusal(message, refusal, key=ID, written_at=NOW)


def about_recipient(message: Message, detail: str = "550 no") -> Message:
    failure = RecipientFailure(ErrorCode.SMTP_PERMANENT, detail, "ada@example.org", 3, "token")
    return letter_about_recipient(message, failure, key=ID, written_at=NOW)


def test_letter_keeps_the_message_and_says_why() -> None:
    message = Message(b"{}", content_type="text/plain", app_id="shop", headers={"own": "1"})

    letter = about_refusal(message)

    assert (letter.body, letter.content_type, letter.app_id) == (b"{}", "text/plain", "shop")
    assert letter.headers == {
        "own": "1",
        "x-mailpact-id": ID,
        "x-error-code": "schema",
        "x-error-pointer": "",
        "x-error-keyword": "required",
        "x-error-detail": "has no email",
        "x-error-time": NOW,
    }


@pytest.mark.parametrize(("given", "kept"), [("order-43", "order-43"), (None, ID)])
def test_letter_keeps_the_publishers_own_id_and_carries_ours_beside_it(given: str | None, kept: str) -> None:
    for again in (about_refusal, about_recipient, lambda message: retry_copy(message, key=ID)):
        letter = again(Message(b"{}", message_id=given))

        assert (letter.message_id, letter.headers["x-mailpact-id"]) == (kept, ID)


def test_letter_about_a_recipient_says_who_and_which_failure_it_is() -> None:
    letter = about_recipient(Message(b"{}"), "550 5.1.1 no such\r\nuser ü")

    assert letter.headers == {
        "x-mailpact-id": ID,
        "x-error-code": "smtp_permanent",
        "x-error-detail": "550 5.1.1 no such user ?",
        "x-error-time": NOW,
        "x-recipient": "ada@example.org",
        "x-failed-token": "token",
        "x-attempts": 3,
    }


def test_retry_copy_of_a_replayed_letter_is_no_letter_any_more() -> None:
    copy = retry_copy(about_recipient(Message(b"{}", headers={"own": "1"})), key=ID)

    assert copy.headers == {"own": "1", "x-mailpact-id": ID}


@pytest.mark.parametrize("maybe_sent", [False, True])
def test_bridge_marks_what_may_have_been_sent(maybe_sent: bool) -> None:
    assert ("x-maybe-sent" in bridged(Message(b""), key=ID, maybe_sent=maybe_sent).headers) == maybe_sent


def test_what_a_broker_would_act_on_and_older_reasons_are_left_behind() -> None:
    ballast = {
        "x-death": [],
        "x-first-death-queue": "q",
        "x-delivery-count": 3,
        "CC": [],
        "x-error-pointer": "/old",
    }

    letter = about_refusal(Message(b"", headers=ballast), Refusal(ErrorCode.INVALID_JSON, detail="not JSON"))

    assert set(letter.headers) == {"x-error-code", "x-error-detail", "x-error-time", "x-mailpact-id"}


@pytest.mark.heavy
@given(
    st.dictionaries(
        st.text(max_size=300), st.recursive(st.text() | st.integers() | st.floats() | st.none(), st.lists)
    )
)
def test_letter_can_be_published_whatever_headers_the_publisher_wrote(headers: dict[str, object]) -> None:
    letter = about_refusal(Message(b"{}", headers=headers))

    content_header(letter)


@given(st.text(st.characters(), max_size=800))
def test_reply_becomes_one_short_line_that_a_header_can_carry_whatever_the_server_said(text: str) -> None:
    letter = about_recipient(Message(b""), f"550 {text}")

    detail = str(letter.headers["x-error-detail"])
    content_header(letter)
    assert detail.isascii()
    assert detail.isprintable()
    assert len(detail) <= 500


def test_headers_too_big_for_a_frame_are_left_off() -> None:
    letter = about_refusal(Message(b"", headers={"x": "h" * 200_000}))

    assert "x" not in letter.headers
