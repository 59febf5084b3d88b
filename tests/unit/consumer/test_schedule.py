"""When a message is tried again, and in which queue it waits until then."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_consumer.schedule import (
    DEFAULT_SCHEDULE,
    Deadlines,
    Period,
    Schedule,
    ScheduleError,
    wait_seconds,
)

FOUR_DAYS = 4 * 86_400.0


def test_schedule_reads_back_as_it_was_written() -> None:
    text = "10s 1m 5m 15m 30m 1h 2h 4h"

    assert str(Schedule.parse(text)) == text
    assert [step.seconds for step in Schedule.parse(text).steps] == [
        10,
        60,
        300,
        900,
        1800,
        3600,
        7200,
        14400,
    ]


@pytest.mark.parametrize("text", ["", "10", "0s", "10s 5s", "1m 60s", "25h", "-1s", "1.5m", "10d", "s"])
def test_text_that_is_no_rising_schedule_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule.parse(text)


@pytest.mark.parametrize(("attempts", "name"), [(1, "10s"), (2, "1m"), (8, "4h"), (9, "4h"), (1000, "4h")])
def test_each_try_waits_longer_and_the_last_step_repeats(attempts: int, name: str) -> None:
    assert DEFAULT_SCHEDULE.after(attempts).name == name


@pytest.mark.parametrize(
    ("rest", "name"), [(0, "10s"), (3, "10s"), (10, "10s"), (59.9, "10s"), (60, "1m"), (1e9, "4h")]
)
def test_message_that_came_early_waits_in_the_largest_step_not_above_the_rest(rest: float, name: str) -> None:
    assert DEFAULT_SCHEDULE.step_for(rest).name == name


def test_wait_ends_with_the_time_for_trying_and_then_there_is_none() -> None:
    assert wait_seconds(DEFAULT_SCHEDULE, 9, Deadlines(100.0)) == 100.0
    assert wait_seconds(DEFAULT_SCHEDULE, 9, Deadlines(0.0)) is None


def test_wait_never_passes_the_publishers_expiry() -> None:
    assert wait_seconds(DEFAULT_SCHEDULE, 9, Deadlines(FOUR_DAYS, 7.0)) == 7.0
    assert wait_seconds(DEFAULT_SCHEDULE, 9, Deadlines(FOUR_DAYS, -7.0)) == 0.0


def test_mail_without_an_answer_waits_five_minutes_at_least() -> None:
    assert wait_seconds(DEFAULT_SCHEDULE, 1, Deadlines(FOUR_DAYS), at_least=300.0) == 300.0
    assert wait_seconds(DEFAULT_SCHEDULE, 6, Deadlines(FOUR_DAYS), at_least=300.0) == 3600.0


@given(st.integers(1, 100), st.floats(-10, 1e6), st.none() | st.floats(-10, 1e6), st.floats(0, 600))
def test_wait_is_within_every_deadline(
    attempts: int, trying: float, expiry: float | None, at_least: float
) -> None:
    wait = wait_seconds(DEFAULT_SCHEDULE, attempts, Deadlines(trying, expiry), at_least=at_least)

    assert (wait is None) == (trying <= 0)
    if wait is not None:
        assert 0 <= wait <= trying
        assert expiry is None or wait <= max(expiry, 0)


def test_two_tries_come_within_the_first_hour_and_the_last_at_the_end_of_four_days() -> None:
    """RFC 5321 4.5.4.1 recommends two tries in the first hour, and four to five days in all."""
    now, attempts, tries = 0.0, 1, [0.0]
    while (wait := wait_seconds(DEFAULT_SCHEDULE, attempts, Deadlines(FOUR_DAYS - now))) is not None:
        now += wait
        attempts += 1
        tries.append(now)

    assert sum(at <= 3600 for at in tries) >= 3
    assert tries[-1] == FOUR_DAYS


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOMENT, HOUR = timedelta(microseconds=1), timedelta(hours=1)


def test_period_without_moments_allows_the_mail_at_any_time() -> None:
    always = Period()

    assert (always.is_over(NOW), always.early_seconds(NOW)) == (False, 0.0)
    assert always.deadlines(NOW, tried_seconds=100.0, retry_seconds=300.0) == Deadlines(200.0)


def test_period_ends_at_expires_at_itself() -> None:
    assert not Period(expires_at=NOW).is_over(NOW - MOMENT)
    assert Period(expires_at=NOW).is_over(NOW)


def test_mail_is_early_until_not_before() -> None:
    assert Period(not_before=NOW).early_seconds(NOW - HOUR) == 3600.0
    assert Period(not_before=NOW).early_seconds(NOW) == 0.0
    assert Period(not_before=NOW).early_seconds(NOW + HOUR) == 0.0


def test_time_for_trying_counts_from_the_later_of_arrival_and_not_before() -> None:
    period = Period(not_before=NOW, expires_at=NOW + 2 * HOUR)

    arrived_before = period.deadlines(NOW + HOUR, tried_seconds=86_400.0, retry_seconds=7200.0)
    arrived_after = period.deadlines(NOW + HOUR, tried_seconds=60.0, retry_seconds=7200.0)

    assert arrived_before == Deadlines(3600.0, 3600.0)
    assert arrived_after == Deadlines(7140.0, 3600.0)
