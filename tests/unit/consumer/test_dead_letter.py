"""Letters are read for operators, selected, and made into the messages that are published again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact.amqp.messages import Message
from mailpact_consumer.dead_letter import Selection, WrittenBy, age_of, is_forgotten, read_letter, replayed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
KEY = "0b1e7a3e-2f4b-4c7e-9a51-0d6b6f0f3a22"
REFUSED = {
    "own": "1",
    "x-error-code": "smtp_permanent",
    "x-error-detail": "550 no such user",
    "x-error-time": NOW - timedelta(hours=2),
    "x-recipient": "ada@example.org",
    "x-failed-token": "t-1",
    "x-attempts": 3,
    "x-mailpact-id": KEY,
}


def broker_letter(reason: str, **message: object) -> Message:
    death = {"reason": reason, "queue": "email.work", "count": 1, "time": NOW - timedelta(days=1)}
    return Message(b"{}", headers={"x-death": [death, {"reason": "expired"}]}, **message)  # type: ignore[arg-type]


def test_a_letter_of_the_consumer_says_why_for_whom_and_when() -> None:
    letter = read_letter(Message(b"{}", message_id="order-43", headers=REFUSED))

    assert (letter.key, letter.written_by, letter.code) == (KEY, WrittenBy.CONSUMER, "smtp_permanent")
    assert (letter.detail, letter.recipient, letter.attempts) == ("550 no such user", "ada@example.org", 3)
    assert age_of(letter, now=NOW) == timedelta(hours=2)


@pytest.mark.parametrize(
    ("reason", "words"),
    [("delivery_limit", "too often"), ("rejected", "log"), ("expired", "expiration"), ("maxlen", "full")],
)
def test_a_letter_of_the_broker_is_translated(reason: str, words: str) -> None:
    letter = read_letter(broker_letter(reason, message_id=ID))

    assert (letter.written_by, letter.code, letter.key) == (WrittenBy.BROKER, reason, ID)
    assert words in letter.detail
    assert "email.work" in letter.detail
    assert age_of(letter, now=NOW) == timedelta(days=1)


HEADER_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.binary(max_size=9) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "x-death",
        "x-error-code",
        "x-error-detail",
        "x-error-time",
        "x-attempts",
        "x-recipient",
        "x-mailpact-id",
    ]
)


@given(st.dictionaries(NAMES | st.text(max_size=5), HEADER_VALUES, max_size=6))
def test_no_headers_make_reading_or_replaying_fail(headers: dict[str, object]) -> None:
    letter = read_letter(Message(b"{}", headers=headers))

    assert Selection(older_than=timedelta(0)).takes(letter, now=NOW) in (True, False)
    assert is_forgotten(letter, now=NOW, inbox_days=30) in (True, False)
    assert "x-error-code" not in replayed(letter, new_key=ID).headers


def test_a_replay_keeps_message_recipient_and_token_and_drops_the_reason() -> None:
    letter = read_letter(Message(b"{}", message_id="order-43", app_id="shop", headers=REFUSED))

    message = replayed(letter, new_key=ID)

    assert (message.body, message.message_id, message.app_id) == (b"{}", "order-43", "shop")
    assert message.headers == {
        "own": "1",
        "x-recipient": "ada@example.org",
        "x-failed-token": "t-1",
        "x-mailpact-id": KEY,
    }


def test_a_replayed_message_that_never_had_an_id_gets_one_and_says_that_its_mail_may_be_out() -> None:
    message = replayed(read_letter(broker_letter("delivery_limit")), new_key=ID)

    assert message.message_id == ID
    assert message.headers == {"x-mailpact-id": ID, "x-maybe-sent": True}


@pytest.mark.parametrize(
    ("selection", "takes"),
    [
        (Selection(), True),
        (Selection(ids=frozenset({KEY})), True),
        (Selection(ids=frozenset({"order-43"})), True),
        (Selection(ids=frozenset({ID})), False),
        (Selection(code="smtp_permanent"), True),
        (Selection(code="schema"), False),
        (Selection(older_than=timedelta(hours=1)), True),
        (Selection(older_than=timedelta(hours=3)), False),
        (Selection(newer_than=timedelta(hours=3)), True),
        (Selection(newer_than=timedelta(hours=1)), False),
        (Selection(ids=frozenset({KEY}), code="schema"), False),
    ],
)
def test_a_selection_takes_letters_that_fulfil_all_of_it(selection: Selection, takes: bool) -> None:
    letter = read_letter(Message(b"{}", message_id="Order-43", headers=REFUSED))

    assert selection.takes(letter, now=NOW) is takes


def test_a_letter_of_unknown_age_is_selected_by_no_age() -> None:
    letter = read_letter(Message(b"{}", headers={"x-error-code": "schema"}))

    assert not Selection(older_than=timedelta(0)).takes(letter, now=NOW)
    assert not Selection(newer_than=timedelta(days=999)).takes(letter, now=NOW)


@pytest.mark.parametrize(
    ("died", "published", "forgotten"),
    [
        (timedelta(days=29), None, False),
        (timedelta(days=31), None, True),
        (timedelta(days=1), timedelta(days=90), False),
        (None, timedelta(days=29), False),
        (None, timedelta(days=31), True),
        (None, None, True),
    ],
)
def test_the_consumer_may_have_forgotten_what_is_older_than_thirty_days(
    died: timedelta | None, published: timedelta | None, forgotten: bool
) -> None:
    headers = {"x-error-code": "schema"} | ({} if died is None else {"x-error-time": NOW - died})
    timestamp = None if published is None else NOW - published

    letter = read_letter(Message(b"{}", timestamp=timestamp, headers=headers))

    assert is_forgotten(letter, now=NOW, inbox_days=30) is forgotten
