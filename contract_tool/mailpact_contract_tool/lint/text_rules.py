"""Portable rules about strings: patterns and formats."""

from collections.abc import Iterator

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.folder.documents import array_at
from mailpact_contract_tool.lint.rules import Fault, LintRule
from mailpact_contract_tool.lint.subschemas import Place, definition
from mailpact_contract_tool.patterns.backtracking import backtracking_fault
from mailpact_contract_tool.patterns.portable import (
    Pattern,
    PatternError,
    least_length,
    parse_pattern,
)
from mailpact_contract_tool.patterns.tree import Characters

_NEWLINE = 0x0A


def pattern_faults(place: Place, root: JsonObject) -> Iterator[Fault]:
    """Check the pattern of one subschema; a pattern below `not` need not be anchored."""
    text = place.schema.get("pattern")
    if not isinstance(text, str):
        return
    for fault in written_faults(text, anchored=not place.negated):
        yield place.fault(fault.rule, "pattern", fault.sentence)
    pattern = _read(text)
    if (
        pattern is not None
        and pattern.ends
        and not place.negated
        and not _stops_newline(place, root, pattern)
    ):
        yield place.fault(
            LintRule.PATTERN_LETS_NEWLINE_THROUGH,
            "pattern",
            "Python's $ matches before a last line end too; add not: {pattern: [\\x00-\\x1f\\x7f]}, "
            "or a maxLength that leaves no room for one",
        )


def written_faults(text: str, *, anchored: bool) -> Iterator[Fault]:
    """Check a pattern without its schema."""
    try:
        pattern = parse_pattern(text)
    except PatternError as error:
        yield Fault(LintRule.PATTERN_DIALECT, "", f"the pattern is not portable: {error}")
        return
    if anchored and not (pattern.starts and pattern.ends):
        sentence = "the pattern can match in the middle of a text; begin the pattern with ^ and end it with $"
        yield Fault(LintRule.PATTERN_NOT_ANCHORED, "", sentence)
    slow = backtracking_fault(pattern)
    if slow is not None:
        yield Fault(LintRule.PATTERN_EXPLODES, "", f"the pattern {slow}")


def format_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Check that a schema with `format` also states the rule with another keyword."""
    if "format" in place.schema and not {"pattern", "enum", "const"} & set(place.schema):
        yield place.fault(
            LintRule.FORMAT_ALONE,
            "format",
            "engines disagree about formats, and most do not check them; state the rule as a pattern beside it",
        )


def _read(text: JsonValue) -> Pattern | None:
    try:
        return parse_pattern(text) if isinstance(text, str) else None
    except PatternError:
        return None


def _stops_newline(place: Place, root: JsonObject, pattern: Pattern) -> bool:
    """Return whether another keyword refuses a value with a line end behind a match of the pattern."""
    longest = place.schema.get("maxLength")
    if isinstance(longest, int) and longest <= least_length(pattern.root):
        return True
    if "enum" in place.schema or "const" in place.schema:
        return True
    beside = [place.schema, *array_at(place.schema, "allOf")]
    negations = [part.get("not") for part in beside if isinstance(part, dict)]
    return any(
        _finds_newline(refused) for part in negations for refused in _alternatives(part, root, depth=0)
    )


def _alternatives(schema: JsonValue, root: JsonObject, *, depth: int) -> Iterator[Pattern]:
    """Yield the patterns that each make a schema accept a string."""
    if not isinstance(schema, dict) or depth > 8:
        return
    pattern = _read(schema.get("pattern"))
    decides = set(schema) <= {"$comment", "description", "pattern", "type"}
    if pattern is not None and decides:
        yield pattern
    for branch in array_at(schema, "anyOf"):
        yield from _alternatives(branch, root, depth=depth + 1)
    yield from _alternatives(definition(root, schema.get("$ref")), root, depth=depth + 1)


def _finds_newline(pattern: Pattern) -> bool:
    """Return whether a pattern is one class of characters that contains the line feed."""
    match pattern:
        case Pattern(Characters(ranges), starts=False, ends=False):
            return any(least <= _NEWLINE <= most for least, most in ranges)
        case _:
            return False
