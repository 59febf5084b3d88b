"""Outcomes and exit codes."""

import pytest

from mailpact_kit.cases import Case, Level, Role, load
from mailpact_kit.verdict import CaseVerdict, Evidence, Result, exit_code, verdict_of

CASE: Case = load(Role.CONSUMER)[0]


def results(*verdicts: CaseVerdict, is_stale: bool = False) -> list[Result]:
    """Return results with these verdicts."""
    return [Result(CASE, verdict, [], Evidence(), 0.0, is_stale=is_stale) for verdict in verdicts]


@pytest.mark.parametrize(
    ("level", "has_problems", "is_known", "expected"),
    [
        (Level.MUST, False, False, CaseVerdict.PASS),
        (Level.MUST, False, True, CaseVerdict.PASS),
        (Level.MUST, True, False, CaseVerdict.FAIL),
        (Level.SHOULD, True, False, CaseVerdict.NON_STRICT),
        (Level.MAY, True, False, CaseVerdict.NON_STRICT),
        (Level.MUST, True, True, CaseVerdict.KNOWN_FAIL),
    ],
)
def test_outcome_of_a_case(level: Level, has_problems: bool, is_known: bool, expected: CaseVerdict) -> None:
    assert verdict_of(level, has_problems=has_problems, is_known=is_known) == expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([CaseVerdict.PASS], 0),
        ([CaseVerdict.PASS, CaseVerdict.NON_STRICT, CaseVerdict.SKIP, CaseVerdict.KNOWN_FAIL], 0),
        ([CaseVerdict.PASS, CaseVerdict.FAIL], 1),
        ([CaseVerdict.PASS, CaseVerdict.FAIL, CaseVerdict.ERROR], 3),
        ([], 6),
        ([CaseVerdict.SKIP], 6),
        ([CaseVerdict.KNOWN_FAIL], 6),
        ([CaseVerdict.NON_STRICT], 6),
    ],
)
def test_a_run_is_green_only_if_something_passed_and_nothing_failed(
    verdicts: list[CaseVerdict], expected: int
) -> None:
    assert exit_code(results(*verdicts), has_program_exited=False) == expected


def test_program_that_went_away_is_told_from_one_that_is_wrong() -> None:
    assert exit_code(results(CaseVerdict.PASS, CaseVerdict.FAIL), has_program_exited=True) == 4


def test_list_of_known_failures_that_is_stale_is_not_green() -> None:
    assert exit_code(results(CaseVerdict.PASS, is_stale=True), has_program_exited=False) == 5


def test_what_should_hold_counts_only_strictly() -> None:
    found = results(CaseVerdict.PASS, CaseVerdict.NON_STRICT)

    assert exit_code(found, has_program_exited=False, is_strict=False) == 0
    assert exit_code(found, has_program_exited=False, is_strict=True) == 1
