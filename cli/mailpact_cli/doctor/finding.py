"""What an examination finds: a value for people and scripts."""

from dataclasses import dataclass
from enum import StrEnum

from mailpact_cli.errors import UNREACHABLE, WRONG


class FindingStatus(StrEnum):
    """What an examination comes to."""

    OK = "ok"
    WRONG = "wrong"
    UNREACHABLE = "unreachable"
    """A server does not answer, so nothing else can be examined there."""
    UNKNOWN = "unknown"
    """Not examined, because an option is missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined: what was found, and what to do about it (empty if nothing is to be done)."""

    about: str
    verdict: FindingStatus
    found: str
    advice: str = ""


def ok(about: str, found: str) -> Finding:
    """Return the finding of something that is right."""
    return Finding(about, FindingStatus.OK, found)


def wrong(about: str, found: str, advice: str) -> Finding:
    """Return the finding of something that must be changed."""
    return Finding(about, FindingStatus.WRONG, found, advice)


def unreachable(about: str, found: str, advice: str) -> Finding:
    """Return the finding of a server that does not answer."""
    return Finding(about, FindingStatus.UNREACHABLE, found, advice)


def unknown(about: str, option: str) -> Finding:
    """Return the finding of something that is examined only with an option."""
    return Finding(about, FindingStatus.UNKNOWN, "not examined", f"give {option}")


def exit_code(findings: list[Finding]) -> int:
    """Return 0 if nothing is wrong, 1 if something is, and 3 if a server does not answer and nothing else is wrong."""
    verdicts = {finding.verdict for finding in findings}
    if FindingStatus.WRONG in verdicts:
        return WRONG
    return UNREACHABLE if FindingStatus.UNREACHABLE in verdicts else 0
