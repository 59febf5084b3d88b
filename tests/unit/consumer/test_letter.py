"""A dead letter is the publisher's message with the reason, and can always be published."""

from hypothesis import given
from hypothesis import strategies as st

from mailpact.amqp.messages import Message
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.letter import letter_about_refusal, letter_about_reply
from mailpact_consumer.reply import Permanent

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
SCHEMA = Refusal(ErrorCode.SCHEMA, pointer="", keyword="required", detail="has no email")


def test_letter_keeps_the_message_and_says_why() -> None:
    message = Message(b"{}", content_type="text/plain", app_id="shop", headers={"own": "1"})

    letter = letter_about_refusal(message, SCHEMA, message_id=ID)

    assert (letter.body, letter.content_type, letter.app_id, letter.message_id) == (
        b"{}",
        "text/plain",
        "shop",
        ID,
    )
    assert letter.headers == {
        "own": "1",
        "x-error-code": "schema",
        "x-error-pointer": "",
        "x-error-keyword": "required",
        "x-error-detail": "has no email",
    }


def test_letter_about_a_reply_names_recipient_code_and_tries() -> None:
    reply = Permanent(550, "5.1.1 no such\r\nuser ü")

    letter = letter_about_reply(Message(b"{}"), reply, message_id=ID, recipient="ada@example.org", attempts=3)

    assert letter.headers == {
        "x-error-code": "smtp_permanent",
        "x-error-detail": "550 5.1.1 no such user ?",
        "x-recipient": "ada@example.org",
        "x-attempts": 3,
    }


def test_what_a_broker_would_act_on_and_older_reasons_are_left_behind() -> None:
    ballast = {
        "x-death": [],
        "x-first-death-queue": "q",
        "x-delivery-count": 3,
        "CC": [],
        "x-error-pointer": "/old",
    }

    letter = letter_about_refusal(
        Message(b"", headers=ballast), Refusal(ErrorCode.INVALID_JSON, detail="not JSON"), message_id=ID
    )

    assert set(letter.headers) == {"x-error-code", "x-error-detail"}


@given(
    st.dictionaries(
        st.text(max_size=300), st.recursive(st.text() | st.integers() | st.floats() | st.none(), st.lists)
    )
)
def test_letter_can_be_published_whatever_headers_the_publisher_wrote(headers: dict[str, object]) -> None:
    letter = letter_about_refusal(Message(b"{}", headers=headers), SCHEMA, message_id=ID)

    letter.properties().marshal()


@given(st.text(st.characters(), max_size=800))
def test_reply_becomes_one_short_line_that_a_header_can_carry_whatever_the_server_said(text: str) -> None:
    reply = Permanent(550, text)

    letter = letter_about_reply(Message(b""), reply, message_id=ID, recipient="ada@example.org", attempts=1)

    detail = str(letter.headers["x-error-detail"])
    letter.properties().marshal()
    assert detail.isascii()
    assert detail.isprintable()
    assert len(detail) <= 500


def test_headers_too_big_for_a_frame_are_left_off() -> None:
    letter = letter_about_refusal(Message(b"", headers={"x": "h" * 200_000}), SCHEMA, message_id=ID)

    assert "x" not in letter.headers
