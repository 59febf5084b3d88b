"""The result of an examination: a value for people and scripts."""

from dataclasses import dataclass
from enum import StrEnum

from mailpact_cli.errors import UNREACHABLE, WRONG


class FindingStatus(StrEnum):
    """The verdict of an examination."""

    OK = "ok"
    WRONG = "wrong"
    UNREACHABLE = "unreachable"
    """A server does not answer, so nothing else can be examined there."""
    UNKNOWN = "unknown"
    """Not examined, because an option is missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One examined item: what was found, and the advice (empty if there is nothing to do)."""

    about: str
    verdict: FindingStatus
    found: str
    advice: str = ""


def ok(about: str, found: str) -> Finding:
    """Return the finding for a correct item."""
    return Finding(about, FindingStatus.OK, found)


def wrong(about: str, found: str, advice: str) -> Finding:
    """Return the finding for an item that must be changed."""
    return Finding(about, FindingStatus.WRONG, found, advice)


def unreachable(about: str, found: str, advice: str) -> Finding:
    """Return the finding for a server that does not answer."""
    return Finding(about, FindingStatus.UNREACHABLE, found, advice)


def unknown(about: str, option: str) -> Finding:
    """Return the finding for an item that is examined only with an option."""
    return Finding(about, FindingStatus.UNKNOWN, "not examined", f"give {option}")


def exit_code(findings: list[Finding]) -> int:
    """Return 0 if nothing is wrong, 1 if something is, and 3 if a server does not answer and nothing else is wrong."""
    verdicts = {finding.verdict for finding in findings}
    if FindingStatus.WRONG in verdicts:
        return WRONG
    return UNREACHABLE if FindingStatus.UNREACHABLE in verdicts else 0
