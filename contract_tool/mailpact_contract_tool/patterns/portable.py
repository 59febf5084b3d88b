"""Checks whether a pattern uses only the regular expressions that every JSON Schema engine reads in the same way."""

from dataclasses import dataclass

from mailpact_contract_tool.patterns.reader import MOST_REPEATS, UnreadPattern, read
from mailpact_contract_tool.patterns.tree import Characters, Choice, Edge, Repeat, Sequence, Tree

LONGEST_PATTERN = 2000  # characters


class PatternError(Exception):
    """The pattern is not portable; the message says what is not portable, and at which character (from 1)."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A portable pattern: the part between its anchors, and which of the two anchors it has."""

    root: Tree
    starts: bool
    ends: bool


def parse_pattern(text: str) -> Pattern:
    """Return a portable pattern; raise PatternError. The time is proportional to the pattern's length."""
    if len(text) > LONGEST_PATTERN:
        raise PatternError(f"a pattern has at most {LONGEST_PATTERN} characters")
    try:
        reading = read(text)
    except UnreadPattern as error:
        raise PatternError(error.remark) from None
    if reading.remark is not None:
        raise PatternError(reading.remark)
    if _repeats(reading.tree) > MOST_REPEATS:
        raise PatternError(f"an expression is repeated more than {MOST_REPEATS} times")
    parts = reading.tree.parts if isinstance(reading.tree, Sequence) else (reading.tree,)
    starts, ends = isinstance(parts[0], Edge), isinstance(parts[-1], Edge)
    inner = parts[starts : len(parts) - ends]
    return Pattern(inner[0] if len(inner) == 1 else Sequence(inner), starts, ends)


def least_length(tree: Tree) -> int:
    """Return the length in code points of the shortest text that a part matches."""
    match tree:
        case Characters():
            return 1
        case Sequence(parts):
            return sum(least_length(part) for part in parts)
        case Choice(branches):
            return min(least_length(branch) for branch in branches)
        case Repeat(inner, least):
            return least * least_length(inner)
        case Edge():
            return 0


def _repeats(tree: Tree) -> int:
    """Return how often the innermost part is repeated. Bounds of nested repetitions are multiplied, as in Go."""
    match tree:
        case Characters() | Edge():
            return 1
        case Sequence(inner) | Choice(inner):
            return max(_repeats(part) for part in inner)
        case Repeat(part, least, most):
            return _repeats(part) * max(1, least, most or 0)
