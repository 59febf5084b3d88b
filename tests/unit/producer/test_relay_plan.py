"""Only a confirm takes a message out of the outbox."""

import pytest

from mailpact.amqp.messages import Outcome
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_producer.relay_plan import Dead, Published, PutBack, step_after


def longest(low: float, high: float) -> float:
    del low
    return high


def shortest(low: float, high: float) -> float:
    del high
    return low


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_confirm_means_published(outcome: Outcome) -> None:
    step = step_after(outcome, attempts=0, uniform=longest)

    assert isinstance(step, Published) == (outcome is Outcome.CONFIRMED)


@pytest.mark.parametrize(
    ("outcome", "attempts", "seconds"),
    [
        (Outcome.UNROUTABLE, 0, 1.0),
        (Outcome.UNROUTABLE, 1000, 10.0),
        (Outcome.NACKED, 3, 8.0),
        (Outcome.NACKED, 1000, 300.0),
        (Outcome.UNKNOWN, 1000, 300.0),
    ],
)
def test_wait_grows_to_a_bound_that_says_whose_trouble_it_is(
    outcome: Outcome, attempts: int, seconds: float
) -> None:
    step = step_after(outcome, attempts=attempts, uniform=longest)

    assert step == PutBack(seconds, is_attempt=True, reason=outcome)


def test_wait_is_never_so_short_that_the_broker_is_hammered() -> None:
    step = step_after(Outcome.NACKED, attempts=50, uniform=shortest)

    assert isinstance(step, PutBack)
    assert step.seconds >= 1.0


def test_broker_that_is_away_costs_a_message_neither_time_nor_a_try() -> None:
    step = step_after(Outcome.NOT_SENT, attempts=7, uniform=longest)

    assert step == PutBack(0.0, is_attempt=False, reason=Outcome.NOT_SENT)


def test_message_that_its_own_contract_refuses_is_dead_and_says_why() -> None:
    refusal = Refusal(
        ErrorCode.SCHEMA, pointer="/email", keyword="pattern", detail="does not match the pattern"
    )

    step = step_after(refusal, attempts=0, uniform=longest)

    assert step == Dead("schema /email pattern: does not match the pattern")


def test_message_of_a_newer_release_waits_for_one() -> None:
    refusal = Refusal(ErrorCode.UNSUPPORTED_VERSION, detail="this release does not know 'email/9'")

    step = step_after(refusal, attempts=0, uniform=longest)

    assert step == PutBack(300.0, is_attempt=False, reason=refusal.detail)
