from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from mailpact.outage import Outage

AWAY = "cannot connect to the broker, trying again"
LOST = "connection to the broker lost, trying again"
REFUSED = "the broker refuses access, trying again"
BACK = "connection to the broker restored"

Lines = list[MutableMapping[str, Any]]


class Clock:
    """A clock that the test moves."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Yield what is logged while the test runs."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
def clock() -> Clock:
    """Return the clock of `outage`."""
    return Clock()


@pytest.fixture
def outage(lines: Lines, clock: Clock) -> Outage:
    """Return the outages of a broker."""
    return Outage("broker", monotonic=clock, role="test")


def events(lines: Lines) -> list[str]:
    return [line["event"] for line in lines]


def test_an_outage_is_one_warning_however_long_it_lasts_and_one_line_at_its_end(
    outage: Outage, lines: Lines, clock: Clock
) -> None:
    for _ in range(100):
        outage.report("connection refused", is_refused=False)
        clock.seconds += 60
    outage.end()
    outage.end()

    assert events(lines) == [AWAY, BACK]
    assert lines[0] == {
        "event": AWAY,
        "reason": "connection refused",
        "role": "test",
        "log_level": "warning",
    }


def test_a_connection_that_worked_is_called_lost(outage: Outage, lines: Lines) -> None:
    outage.report("reset by peer", is_refused=False, was_connected=True)

    assert events(lines) == [LOST]


def test_a_refusal_is_an_error_again_each_minute(outage: Outage, lines: Lines, clock: Clock) -> None:
    for _ in range(13):
        outage.report("wrong password", is_refused=True)
        clock.seconds += 10

    assert events(lines) == [REFUSED] * 3
    assert {line["log_level"] for line in lines} == {"error"}


def test_another_refusal_is_reported_at_once(outage: Outage, lines: Lines) -> None:
    outage.report("wrong password", is_refused=True)
    outage.report("unknown vhost", is_refused=True)

    assert [line["reason"] for line in lines] == ["wrong password", "unknown vhost"]


def test_a_refusal_in_the_midst_of_an_outage_is_reported(outage: Outage, lines: Lines) -> None:
    outage.report("reset by peer", is_refused=False, was_connected=True)
    outage.report("wrong password", is_refused=True)
    outage.report("connection refused", is_refused=False)
    outage.report("wrong password", is_refused=True)
    outage.end()

    assert events(lines) == [LOST, REFUSED, BACK]


def test_nothing_is_restored_that_was_not_reported(outage: Outage, lines: Lines) -> None:
    outage.end()

    assert lines == []


def test_a_refusal_that_comes_and_goes_does_not_fill_the_log(
    outage: Outage, lines: Lines, clock: Clock
) -> None:
    for _ in range(120):
        outage.report("no permission to publish", is_refused=True)
        outage.end()
        clock.seconds += 1

    assert events(lines).count(REFUSED) == 2
