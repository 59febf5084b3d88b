"""Portable rules about numbers and limits."""

from collections.abc import Iterator

from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.lint.rules import Fault, LintRule
from mailpact_contract_tool.lint.subschemas import BY_TYPE, Place, below

GREATEST_SAFE = 2**53
_NUMERIC = ("const", "default", "enum", "examples", *sorted(BY_TYPE["number"]))
_LIMITS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
    ("minimum", "maximum"),
    ("exclusiveMinimum", "maximum"),
    ("minimum", "exclusiveMaximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
)


def number_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Look at every number that one subschema states."""
    step = place.schema.get("multipleOf")
    if isinstance(step, float) and not step.is_integer():
        yield place.fault(
            LintRule.MULTIPLE_OF_FRACTION,
            "multipleOf",
            "three engines of seven say that 19.99 is no multiple of 0.01; count in the smallest unit, as an integer",
        )
    for keyword in _NUMERIC:
        if keyword in place.schema:
            yield from _stated(below(place.pointer, keyword), place.schema[keyword])


def _stated(pointer: str, value: JsonValue) -> Iterator[Fault]:
    match value:
        case bool() | str() | None:
            return
        case int() | float():
            yield from _number(pointer, value)
        case list():
            for number, item in enumerate(value):
                yield from _stated(below(pointer, number), item)
        case dict():
            for name, item in value.items():
                yield from _stated(below(pointer, name), item)


def _number(pointer: str, value: float) -> Iterator[Fault]:
    if abs(value) > GREATEST_SAFE:
        yield Fault(
            LintRule.NUMBER_TOO_GREAT,
            pointer,
            "numbers beyond 2^53 lose digits in many languages; use a string",
        )
    elif type(value) is float and value.is_integer():
        yield Fault(
            LintRule.NUMBER_WRITTEN_WITH_FRACTION,
            pointer,
            f"languages disagree whether {value} is an integer; write {int(value)}",
        )


def limit_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Look for limits that no value can keep."""
    for least_name, most_name in _LIMITS:
        least, most = place.schema.get(least_name), place.schema.get(most_name)
        if isinstance(least, int | float) and isinstance(most, int | float):
            strict = "exclusive" in least_name + most_name
            if least > most or (strict and least == most):
                sentence = f"no value is at once within {least_name} {least} and {most_name} {most}"
                yield place.fault(LintRule.LIMITS_CONTRADICT, most_name, sentence)
