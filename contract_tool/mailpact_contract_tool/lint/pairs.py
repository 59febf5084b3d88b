"""The rule about the two schemas of a contract: readers accept whatever writers may send."""

from collections.abc import Iterator

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Verdict
from mailpact_contract_tool.lint.rules import Fault, LintRule

_NOTES = frozenset({"$comment", "$id", "default", "deprecated", "description", "examples", "title"})


def pair_faults(reader: JsonObject, writer: JsonObject) -> Iterator[Fault]:
    """Check that readers accept every document of the writers; schemas that differ only in openness agree at once."""
    if _opened(reader) == _opened(writer):
        return
    try:
        comparison = compare(writer, reader)
    except ValueError as error:  # too large to be compared, or invalid, for which there is another finding
        yield Fault(LintRule.PAIR_DISAGREES, "", f"readers and writers cannot be compared: {error}")
        return
    for change in comparison.changes:
        if change.backward is not Verdict.COMPATIBLE:
            verb = "refuse" if change.backward is Verdict.BREAKING else "are not proved to accept"
            yield Fault(
                LintRule.PAIR_DISAGREES,
                change.pointer,
                f"readers {verb} what writers may send here ({change.rule})",
            )
            return
    if comparison.backward is not Verdict.COMPATIBLE:
        yield Fault(LintRule.PAIR_DISAGREES, "", "readers are not proved to accept all that writers may send")


def _opened(schema: JsonValue) -> JsonValue:
    match schema:
        case dict():
            return {
                name: _opened(value)
                for name, value in schema.items()
                if name not in _NOTES and not (name == "additionalProperties" and value in (False, True))
            }
        case list():
            return [_opened(item) for item in schema]
        case _:
            return schema
