"""When a canary is sent and ended, and when the site reports that mail does not flow."""

import pytest

from mailpact_producer.canary import (
    STUCK,
    Ask,
    Begin,
    Canary,
    End,
    Stage,
    Step,
    Wait,
    next_step,
    trouble,
)
from mailpact_producer.mail_state import MailState

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
ARRIVED = Canary("a", START, MailState.SENT, True, ended_at=START + SECOND, arrived_at=START + SECOND)


def under_way(told: MailState = MailState.QUEUED, *, is_confirmed: bool = True) -> Canary:
    return Canary("a", START, told, is_confirmed, waiting_since=START)


@pytest.mark.parametrize(
    ("canary", "age_seconds", "has_viewer", "step"),
    [
        (Canary(), 0, False, Begin()),
        (ARRIVED, 1, False, Wait(59)),
        (ARRIVED, 60, False, Begin()),
        (ARRIVED, -7, False, Begin()),  # the clock was put back
        (under_way(), 1, False, Wait(1)),
        (under_way(MailState.DEFERRED), 600, True, Wait(1)),
        (under_way(MailState.DEFERRED), 601, True, End(has_arrived=False)),
        (under_way(), -1, False, End(has_arrived=False)),
        (under_way(MailState.FAILED), 1, False, End(has_arrived=False)),
        (under_way(MailState.EXPIRED), 1, True, End(has_arrived=False)),
        (under_way(MailState.SENT), 1, False, End(has_arrived=True)),
        (under_way(MailState.SENT), 700, False, End(has_arrived=True)),
        (under_way(MailState.SENT), 90, True, Ask(is_last=False)),
        (under_way(MailState.SENT), 91, True, Ask(is_last=True)),
        (under_way(MailState.SENT), 601, True, Ask(is_last=True)),
    ],
)
def test_next_step(canary: Canary, age_seconds: int, has_viewer: bool, step: Step) -> None:
    now = START + age_seconds * SECOND

    assert next_step(canary, now, interval_seconds=60, has_viewer=has_viewer) == step


@pytest.mark.parametrize(
    ("canary", "stage"),
    [
        (under_way(is_confirmed=False), Stage.COMMITTED),
        (under_way(), Stage.CONFIRMED),
        (under_way(MailState.DEFERRED), Stage.REPORTED),
        (under_way(MailState.FAILED), Stage.REPORTED),
        (under_way(MailState.SENT), Stage.SENT),
        (ARRIVED, Stage.SEEN),
    ],
)
def test_operator_is_told_how_far_the_last_canary_came(canary: Canary, stage: Stage) -> None:
    assert canary.stage(has_viewer=True) is stage
    in_time = trouble(canary, START + 90 * SECOND, START, interval_seconds=60, has_viewer=True)
    late = trouble(canary, START + 91 * SECOND, START, interval_seconds=60, has_viewer=True)

    assert in_time == ""
    assert (STUCK[stage] in late) if stage is not Stage.SEEN else late == ""


def test_broken_path_is_told_within_180_seconds_wherever_it_breaks() -> None:
    """The worst case is a path that breaks at the moment at which a canary has arrived."""
    next_start = START + 60 * SECOND
    lost = Canary("b", next_start, is_confirmed=False, arrived_at=START, waiting_since=next_start)

    tellings = [
        second
        for second in range(60, 181)
        if trouble(lost, START + second * SECOND, 0, interval_seconds=60, has_viewer=False)
    ]

    assert tellings[0] == 151


@pytest.mark.parametrize("late_seconds", [0, 5, 60, 89])
def test_canary_that_is_begun_late_is_told_no_later(late_seconds: int) -> None:
    begun = START + (60 + late_seconds) * SECOND
    lost = Canary("b", begun, is_confirmed=True, arrived_at=START, waiting_since=begun)

    in_time, late = (
        trouble(lost, START + seconds * SECOND, 0, interval_seconds=60, has_viewer=False)
        for seconds in (150, 151)
    )

    assert in_time == ""
    assert STUCK[Stage.CONFIRMED] in late


def test_canary_that_nobody_begins_is_told_too_but_not_to_a_process_that_has_just_begun_to_look() -> None:
    def told(after_seconds: int, watched_since: int) -> str:
        now = START + after_seconds * SECOND
        return trouble(ARRIVED, now, watched_since, interval_seconds=60, has_viewer=False)

    assert told(151, 0) == ""
    assert "database" in told(152, 0)
    assert told(86_400, START + 86_400 * SECOND) == ""
