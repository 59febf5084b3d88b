"""The rule about a contract's two schemas: what writers may send, readers accept."""

from collections.abc import Iterator

from mailpact.contracts.lint.faults import Fault
from mailpact.contracts.lint.rules import Rule
from mailpact.contracts.parse import JsonObject, JsonValue

_NOTES = frozenset({"$comment", "$id", "default", "deprecated", "description", "examples", "title"})


def pair_faults(reader: JsonObject, writer: JsonObject) -> Iterator[Fault]:
    """Look for the first difference that is more than words, and more than that writers are closed."""
    if _opened(reader) != _opened(writer):
        yield Fault(
            Rule.PAIR_DISAGREES, "", "readers and writers differ in more than that writers are closed"
        )


def _opened(schema: JsonValue) -> JsonValue:
    match schema:
        case dict():
            return {
                name: _opened(value)
                for name, value in schema.items()
                if name not in _NOTES and not (name == "additionalProperties" and value is False)
            }
        case list():
            return [_opened(item) for item in schema]
        case _:
            return schema
