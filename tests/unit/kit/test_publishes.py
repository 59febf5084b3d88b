"""What a producer published is compared with its contract."""

from datetime import UTC, datetime, timedelta

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Contract
from mailpact_kit.cases import Observation, ProducerCase
from mailpact_kit.ledger import Ledger
from mailpact_kit.publishes import Asked, judge_publishes
from mailpact_kit.trace import Event, Speaker

TO = "c-x-01.6f1e0c1c0000@kit.example"
ID = "6f1e0c1c-0000-4000-8000-000000000001"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

ASKED = Asked(TO, "one\ntwo", "6f1e0c1c0000")
RIGHT = '{"email": "c-x-01.6f1e0c1c0000@kit.example", "message": "one\\ntwo"}'


def publish(
    body: str = RIGHT, *, exchange: str = "email", key: str = "", mandatory: bool = True, **properties: object
) -> Event:
    """Return a publish of the program."""
    arguments = {"exchange": exchange, "routing_key": key, "mandatory": mandatory}
    return Event(0.0, 1, 1, Speaker.PROGRAM, "basic.publish", arguments, properties, body.encode())


def judged(does: ProducerCase, asked: Asked, events: list[Event], contract: Contract) -> list[str]:
    """Judge what these events show."""
    ledger = Ledger()
    for each in events:
        ledger.take(each)
    contracts = [contract, catalogue.load().contract("email/2")]
    return judge_publishes(does, asked, ledger.publications, contracts, NOW)


CONFIRM = Event(0.0, 1, 1, Speaker.PROGRAM, "confirm.select")


@pytest.mark.parametrize(
    ("observation", "events", "problem"),
    [
        (Observation.ONE_PUBLISH, [publish()], None),
        (Observation.ONE_PUBLISH, [publish(key="email")], None),
        (Observation.ONE_PUBLISH, [], "nothing was published"),
        (Observation.ONE_PUBLISH, [publish(), publish()], "2 messages"),
        (
            Observation.ONE_PUBLISH,
            [publish(exchange="", key="email.work")],
            "exchange '' with key 'email.work'",
        ),
        (Observation.VALID_BODY, [publish()], None),
        (Observation.VALID_BODY, [publish(f"to {TO}")], "invalid_json"),
        (Observation.VALID_BODY, [publish(RIGHT[:-1] + ', "more": 1}')], "schema at ''"),
        (Observation.FIELDS_EQUAL_INPUT, [publish()], None),
        (Observation.FIELDS_EQUAL_INPUT, [publish(RIGHT.replace("two", "2"))], "message is"),
        (Observation.FIELDS_EQUAL_INPUT, [publish(RIGHT.replace("@", "@x."))], "email is"),
        (Observation.FIELDS_EQUAL_INPUT, [publish(f'["{TO}"]')], "no members"),
        (Observation.CONFIRM_MODE_FIRST, [CONFIRM, publish()], None),
        (Observation.CONFIRM_MODE_FIRST, [publish(), CONFIRM], "without confirm.select"),
        (Observation.CONFIRM_MODE_FIRST, [publish("other"), CONFIRM, publish()], "1 publishes"),
        (Observation.MANDATORY, [publish()], None),
        (Observation.MANDATORY, [publish(mandatory=False)], "not published as mandatory"),
        (Observation.NO_ENCODING, [publish(content_encoding="utf-8")], None),
        (Observation.NO_ENCODING, [publish(content_encoding="gzip")], "content_encoding is 'gzip'"),
    ],
)
def test_producers_are_judged_by_what_they_published(
    contract: Contract, observation: Observation, events: list[Event], problem: str | None
) -> None:
    problems = judged(ProducerCase("x", (observation,)), ASKED, events, contract)

    assert [problem in found for found in problems if problem is not None] == [True] * bool(problem)
    assert bool(problems) is bool(problem)


def test_text_that_nobody_could_ask_for_is_not_compared(contract: Contract) -> None:
    asked = Asked(TO, None, ASKED.nonce)

    assert judged(ProducerCase("x", (Observation.FIELDS_EQUAL_INPUT,)), asked, [publish()], contract) == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("type", "email.v1", None),
        ("type", "email.v9", "type is 'email.v9' instead of 'email.v1'"),
        ("type", None, "type is missing"),
        ("content_type", "application/json; charset=utf-8", None),
        ("content_type", "image/png", "content_type is 'image/png'"),
        ("delivery_mode", 1, "delivery_mode is 1 instead of 2"),
        ("message_id", ID, None),
        ("message_id", "7", "does not match"),
        ("timestamp", NOW - timedelta(minutes=1), None),
        ("timestamp", NOW - timedelta(days=1), "not the time of the request"),
        ("timestamp", 1_767_323_045_000, "milliseconds"),
        ("app_id", None, "app_id is missing"),
    ],
)
def test_properties_are_judged_by_the_binding(
    contract: Contract, name: str, value: object, problem: str | None
) -> None:
    properties = {} if value is None else {name: value}

    problems = judged(
        ProducerCase("x", (Observation.PROPERTIES,), (name,)), ASKED, [publish(**properties)], contract
    )

    assert [problem in found for found in problems if problem] == [True] * bool(problem)
    assert bool(problems) is bool(problem)


def test_an_id_of_two_messages_is_a_problem_and_a_repeated_publish_is_none(contract: Contract) -> None:
    does = ProducerCase("x", (Observation.PROPERTIES,), ("message_id",))
    again = [publish(message_id=ID), publish(message_id=ID)]

    assert judged(does, ASKED, again, contract) == []
    (problem,) = judged(does, ASKED, [*again, publish("{}", message_id=ID)], contract)
    assert "was used for 2 different messages" in problem


EMAIL_2 = f'{{"to": [{{"address": "{TO}", "name": "Ann"}}], "subject": "s", "text": "one\\ntwo"}}'


@pytest.mark.parametrize(
    ("observation", "event", "problem"),
    [
        (Observation.VALID_BODY, publish(EMAIL_2, type="email.v2"), None),
        (Observation.VALID_BODY, publish(EMAIL_2, type="email.v1"), "has no"),
        (Observation.VALID_BODY, publish(RIGHT, type="email.v2"), "schema at ''"),
        (Observation.VALID_BODY, publish(EMAIL_2.replace("subject", "Subject"), type="email.v2"), "schema at ''"),
        (Observation.FIELDS_EQUAL_INPUT, publish(EMAIL_2, type="email.v2"), None),
        (Observation.FIELDS_EQUAL_INPUT, publish(EMAIL_2.replace("two", "2"), type="email.v2"), "text is"),
        (Observation.FIELDS_EQUAL_INPUT, publish(EMAIL_2.replace("@", "@x."), type="email.v2"), "to is"),
        (Observation.ONE_PUBLISH, publish(EMAIL_2, key="other", type="email.v2"), "with key 'other'"),
        (Observation.NO_ENCODING, publish(EMAIL_2, type="email.v2", content_encoding="gzip"), "'gzip'"),
    ],
)  # fmt: skip
def test_message_of_email_2_is_judged_by_its_own_contract(
    contract: Contract, observation: Observation, event: Event, problem: str | None
) -> None:
    problems = judged(ProducerCase("x", (observation,)), ASKED, [event], contract)

    assert [problem in found for found in problems if problem is not None] == [True] * bool(problem)
    assert bool(problems) is bool(problem)


def test_type_of_email_2_is_right_for_email_2(contract: Contract) -> None:
    does = ProducerCase("x", (Observation.PROPERTIES,), ("type",))

    assert judged(does, ASKED, [publish(EMAIL_2, type="email.v2")], contract) == []
