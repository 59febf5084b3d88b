"""Runs every rule about schemas over one schema, and every rule about a pair over readers' and writers'."""

from collections.abc import Callable, Iterator
from enum import StrEnum

from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.lint.faults import Fault
from mailpact_contract_tool.lint.number_rules import limit_faults, number_faults
from mailpact_contract_tool.lint.rules import Rule
from mailpact_contract_tool.lint.shape_rules import (
    endless_faults,
    keyword_faults,
    reader_faults,
    reference_faults,
    required_faults,
    type_faults,
    writer_faults,
)
from mailpact_contract_tool.lint.subschemas import Place, below, places
from mailpact_contract_tool.lint.text_rules import format_faults, pattern_faults

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MOST_PATTERNS = 200  # each may take a tenth of a second to be proven harmless
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
    """Whose schema it is: readers' are open, writers' are closed."""

    READERS = "readers"
    WRITERS = "writers"


def draft_faults(schema: JsonObject) -> Iterator[Fault]:
    """Look whether a document is a schema of draft 2020-12; no other rule can look at one that is not."""
    import jsonschema_rs

    stated = schema.get("$schema")
    if stated != DRAFT:
        yield Fault(
            Rule.SCHEMA_NOT_2020_12,
            "/$schema" if "$schema" in schema else "",
            f'is not of JSON Schema 2020-12: begin it with "$schema": "{DRAFT}"',
        )
        return
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        pointer = ""
        for step in error.instance_path:
            pointer = below(pointer, step)
        yield Fault(
            Rule.SCHEMA_NOT_2020_12,
            pointer,
            f"is no schema of 2020-12: it breaks {error.kind.name} of the metaschema",
        )


def portable_faults(schema: JsonObject, side: Side) -> Iterator[Fault]:
    """Run the portable rules over a schema of 2020-12."""
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
            Rule.PATTERN_EXPLODES,
            "",
            f"has {patterns} patterns, more than the {MOST_PATTERNS} that are looked at; put equal ones into $defs",
        )
    yield from endless_faults(schema)
