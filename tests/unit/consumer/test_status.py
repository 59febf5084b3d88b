"""Every status event obeys its contract, whatever the mail server and the publisher wrote."""

import json
from datetime import UTC, datetime
from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact_consumer.message import Identity
from mailpact_consumer.status import (
    EVENT_NAMESPACE,
    About,
    Event,
    Failure,
    SmtpReply,
    StatusEvent,
    status_event,
)

KEY = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
NOW = datetime(2026, 11, 28, 9, 0, 0, 250_000, tzinfo=UTC)
CONTRACT = catalogue.load().contract("email-status/1")
WRITERS = Validator(CONTRACT.writer_schema)
FAILURE = Failure(ErrorCode.SMTP_PERMANENT, "550 5.1.1 no such user")


def about(publisher_id: str | None = None) -> About:
    return About(Identity(KEY, publisher_id, is_known=True), "email/1", {})


def refusal_of(event: StatusEvent) -> object:
    """Return what the writer's schema says against an event; None if it obeys."""
    value = parse(event.body.encode(), max_bytes=65_536, max_depth=32)
    return value if isinstance(value, Refusal) else WRITERS.check(value)


@pytest.mark.parametrize("event", Event)
@given(
    reply=st.text(max_size=700), detail=st.text(max_size=700), publisher_id=st.none() | st.text(min_size=1)
)
def test_event_obeys_the_writers_schema(
    event: Event, reply: str, detail: str, publisher_id: str | None
) -> None:
    is_failure = event in (Event.FAILED, Event.EXPIRED, Event.REJECTED)
    written = status_event(
        about(publisher_id),
        event,
        recipient="ada@example.org",
        attempt=3,
        occurred_at=NOW,
        reply=SmtpReply(451, reply),
        failure=Failure(ErrorCode.SCHEMA, detail) if is_failure else None,
    )

    assert refusal_of(written) is None
    assert "\n" not in written.body


def test_event_says_what_the_mail_server_answered_and_why_there_is_no_mail() -> None:
    written = status_event(
        about("order-43"),
        Event.FAILED,
        recipient="ada@example.org",
        attempt=1,
        occurred_at=NOW,
        reply=SmtpReply(550, "5.1.1 no such user"),
        failure=FAILURE,
    )

    assert '"occurred_at":"2026-11-28T09:00:00.250Z"' in written.body
    assert '"smtp":{"code":550,"enhanced":"5.1.1","reply":"5.1.1 no such user"}' in written.body
    assert '"error":{"code":"smtp_permanent","detail":"550 5.1.1 no such user"}' in written.body
    assert '"publisher_message_id":"order-43"' in written.body


def test_id_is_the_same_for_the_same_outcome_and_another_for_any_other() -> None:
    def written(event: Event = Event.SENT, attempt: int = 1, recipient: str = "ada@example.org") -> str:
        return status_event(about(), event, recipient=recipient, attempt=attempt, occurred_at=NOW).id

    others = [written(Event.DEFERRED), written(attempt=2), written(recipient="bob@example.org")]

    assert written() == written()
    assert len({written(), *others}) == 4


def test_event_read_back_travels_as_it_did_at_first() -> None:
    written = status_event(about(), Event.SENT, recipient="ada@example.org", attempt=1, occurred_at=NOW)
    message = StatusEvent.read(written.body).message()

    assert message == written.message()
    assert (message.type, message.message_id, message.correlation_id) == ("email-status.v1", written.id, KEY)
    assert message.timestamp == NOW.replace(microsecond=0)


def test_uncertain_event_says_when_the_template_was_edited_and_is_silent_otherwise() -> None:
    changed, unchanged = (
        status_event(
            about(),
            Event.UNCERTAIN,
            recipient="a@b.example",
            attempt=2,
            occurred_at=NOW,
            template_changed=changed,
        )
        for changed in (True, False)
    )

    assert json.loads(changed.body)["template_changed"] is True
    assert "template_changed" not in json.loads(unchanged.body)
    assert refusal_of(changed) is None


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(Event), st.integers(0, 9))
def test_id_of_an_event_is_derived_from_what_the_event_is_about(
    recipient: str, event: Event, attempt: int
) -> None:
    about = About(Identity(KEY, None, is_known=True), "email/1", {"a": recipient})

    made = status_event(about, event, recipient=recipient, attempt=attempt, occurred_at=NOW)

    assert made.id == str(uuid5(EVENT_NAMESPACE, f"{KEY}\0{recipient}\0{event}\0{attempt}"))
    assert made.body == json.dumps(json.loads(made.body), separators=(",", ":"))
