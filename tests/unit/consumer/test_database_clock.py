"""The database's time between two readings."""

from datetime import UTC, datetime, timedelta

import pytest

from mailpact_consumer.database_clock import DatabaseClock

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MICROSECONDS = int(NOON.timestamp()) * 1_000_000


def test_time_goes_on_from_the_last_reading() -> None:
    monotonic = [100.0]
    clock = DatabaseClock(lambda: monotonic[0])

    clock.read(MICROSECONDS)
    monotonic[0] += 1.5

    assert clock.utc_now() == NOON + timedelta(seconds=1.5)


def test_reading_again_follows_a_database_whose_clock_was_put_right() -> None:
    clock = DatabaseClock(lambda: 100.0)

    clock.read(MICROSECONDS + 7200 * 1_000_000)
    clock.read(MICROSECONDS)

    assert clock.utc_now() == NOON


def test_there_is_no_time_before_the_first_reading() -> None:
    with pytest.raises(RuntimeError, match="has not been read"):
        DatabaseClock(lambda: 0.0).utc_now()
