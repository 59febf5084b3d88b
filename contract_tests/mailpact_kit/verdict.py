"""The outcomes of cases, and the exit code of a run. Pure.

Exit codes: 0 all required cases pass, 1 a required case fails, 2 wrong usage, 3 the kit or its environment failed, 4
the program exited or was never ready, 5 a case in the list of known failures passes (the list is outdated), 6 nothing
was verified.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailpact_kit.cases import Case, Level

OK, NOT_CONFORMANT, KIT_FAILED, PROGRAM_GONE, STALE, NOTHING_VERIFIED = 0, 1, 3, 4, 5, 6


class CaseVerdict(StrEnum):
    """The outcome of one case."""

    PASS = "PASS"  # noqa: S105  # no password
    FAIL = "FAIL"
    NON_STRICT = "NON-STRICT"  # a case of level SHOULD fails
    SKIP = "SKIP"  # a requirement of the case was not provided
    KNOWN_FAIL = "KNOWN-FAIL"  # the case fails and is in the list of known failures
    ERROR = "ERROR"  # the kit could not decide


@dataclass(frozen=True, slots=True)
class Evidence:
    """Lists of lines that help to find the cause of a failure."""

    sent: Sequence[str] = ()
    smtp: Sequence[str] = ()
    amqp: Sequence[str] = ()
    output: Sequence[str] = ()
    details: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one case with its reasons.

    `is_stale` is true if the case passes but is listed as known to fail.
    """

    case: Case
    verdict: CaseVerdict
    problems: Sequence[str]
    evidence: Evidence
    seconds: float
    is_stale: bool = False


def verdict_of(level: Level, *, has_problems: bool, is_known: bool) -> CaseVerdict:
    """Return the verdict of a case that ran to its end."""
    if not has_problems:
        return CaseVerdict.PASS
    if is_known:
        return CaseVerdict.KNOWN_FAIL
    return CaseVerdict.FAIL if level is Level.MUST else CaseVerdict.NON_STRICT


def exit_code(results: Sequence[Result], *, has_program_exited: bool, is_strict: bool = False) -> int:
    """Return the exit code of a run: 0 only if a case has passed. `is_strict`: SHOULD counts like MUST."""
    verdicts = {result.verdict for result in results}
    if CaseVerdict.ERROR in verdicts:
        return KIT_FAILED
    if has_program_exited:
        return PROGRAM_GONE
    if CaseVerdict.FAIL in verdicts or (is_strict and CaseVerdict.NON_STRICT in verdicts):
        return NOT_CONFORMANT
    if any(result.is_stale for result in results):
        return STALE
    return OK if CaseVerdict.PASS in verdicts else NOTHING_VERIFIED
