"""Runs every rule about schemas over one schema."""

from collections.abc import Callable, Iterator
from enum import StrEnum

from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.compare.draft import DRAFT, metaschema_fault
from mailpact_contract_tool.lint.number_rules import limit_faults, number_faults
from mailpact_contract_tool.lint.rules import Fault, LintRule
from mailpact_contract_tool.lint.shape_rules import (
    endless_faults,
    keyword_faults,
    reader_faults,
    reference_faults,
    required_faults,
    type_faults,
    writer_faults,
)
from mailpact_contract_tool.lint.subschemas import Place, places
from mailpact_contract_tool.lint.text_rules import format_faults, pattern_faults

MOST_PATTERNS = 200  # the check of one pattern can take a tenth of a second
_PlaceRule = Callable[[Place, JsonObject], Iterator[Fault]]
_EVERY_SCHEMA: tuple[_PlaceRule, ...] = (
    format_faults,
    number_faults,
    limit_faults,
    reference_faults,
    keyword_faults,
    required_faults,
    type_faults,
)


class Side(StrEnum):
    """The side of a schema: readers' schemas are open, writers' schemas are closed."""

    READERS = "readers"
    WRITERS = "writers"


UNUSABLE = frozenset(
    {
        LintRule.SCHEMA_NOT_2020_12,
        LintRule.REFERENCE_NOT_LOCAL,
        LintRule.REFERENCE_RECURSIVE,
        LintRule.REFERENCE_UNRESOLVED,
        LintRule.REFERENCES_EXPLODE,
    }
)
"""Rules whose violation makes a schema unusable for every engine, which would refuse it, load a URL or never end."""
_SLOW = frozenset({LintRule.PATTERN_DIALECT, LintRule.PATTERN_EXPLODES})
"""Rules whose violation also makes a schema unusable for a backtracking engine."""


def unusable_fault(schema: JsonObject) -> Fault | None:
    """Return the first reason why a backtracking engine must not compile the schema; None if there is none."""
    faults = portable_faults(schema, Side.READERS)
    return next((fault for fault in faults if fault.rule in UNUSABLE | _SLOW), None)


def draft_faults(schema: JsonObject) -> Iterator[Fault]:
    """Check that a document is a schema of draft 2020-12; the other rules rely on this."""
    stated = schema.get("$schema")
    if stated != DRAFT:
        yield Fault(
            LintRule.SCHEMA_NOT_2020_12,
            "/$schema" if "$schema" in schema else "",
            f'is not of JSON Schema 2020-12: begin it with "$schema": "{DRAFT}"',
        )
        return
    fault = metaschema_fault(schema)
    if fault is not None:
        pointer, keyword = fault
        yield Fault(
            LintRule.SCHEMA_NOT_2020_12,
            pointer,
            f"is no schema of 2020-12: it breaks {keyword} of the metaschema",
        )


def portable_faults(schema: JsonObject, side: Side) -> Iterator[Fault]:
    """Run the portable rules over a schema of draft 2020-12."""
    whose = reader_faults if side is Side.READERS else writer_faults
    patterns = 0
    for place in places(schema):
        for rule in (*_EVERY_SCHEMA, whose):
            yield from rule(place, schema)
        if "pattern" in place.schema:
            patterns += 1
            if patterns <= MOST_PATTERNS:
                yield from pattern_faults(place, schema)
    if patterns > MOST_PATTERNS:
        yield Fault(
            LintRule.PATTERN_EXPLODES,
            "",
            f"has {patterns} patterns, more than the {MOST_PATTERNS} that are looked at; put equal ones into $defs",
        )
    yield from endless_faults(schema)
