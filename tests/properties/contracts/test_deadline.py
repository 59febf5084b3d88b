"""No pair of schemas takes longer than its share of processor time; what is undecided by then is `unproven`.

Without a deadline, each pair below would make the search, the parser, the comparison or an engine take far longer.
`make test` tries two of the pairs; `make test-faults` tries all.
"""

import os
import time
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from mailpact_contract_tool.compare.document import SchemaError
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Verdict

MOST_SECONDS = 5.0
EVERY = "MAILPACT_TEST_SIBLING_PAIRS" in os.environ


def nested(depth: int, around: Any, inside: Any) -> Any:
    for level in range(depth):
        inside = around(inside, level)
    return inside


def alternatives(last: int) -> Any:
    names = [[{"required": [f"a{row}-{column}"]} for column in range(last)] for row in range(20)]
    return {"allOf": [{"anyOf": row} for row in names], "maxProperties": 19}


def overlapping(width: int) -> Any:
    return {"oneOf": [{"minimum": number, "maximum": number + width} for number in range(30)]}


def evaluated_in_place(left: Any) -> Any:
    def around(inside: Any, level: int) -> Any:
        own = {"properties": {f"a{level}": True}}
        return {"allOf": [inside], "anyOf": [own, inside], "unevaluatedProperties": left}

    return nested(10, around, True)


def ambiguous_names(least: int) -> Any:
    patterns = [f"^(a|b)*a(a|b){{{size}}}$" for size in range(5, 17)]
    return {
        "patternProperties": {one: {"minimum": least + size} for size, one in enumerate(patterns)},
        "additionalProperties": False,
    }


def counted_items(branches: int) -> Any:
    items = [{"contains": {"minimum": number}, "minContains": 2} for number in range(branches)]
    return {"anyOf": items, "unevaluatedItems": {"maximum": 3}}


def left_out_numbers(most: int) -> Any:
    return {"type": "integer", "minimum": 0, "not": {"enum": list(range(most))}}


def shared_factors(extra: int) -> Any:
    factors = [{"multipleOf": number} for number in range(101, 901)]
    return {
        "type": "integer",
        "minimum": 1,
        "multipleOf": 6,
        "not": {"anyOf": factors},
        "maximum": 10**6 + extra,
    }


def many_members(added: int) -> Any:
    return {"properties": {f"p{one}": {"maxLength": one + one % added + 1} for one in range(3000)}}


def referring(last: str) -> Any:
    definitions = {
        f"d{level}": {
            "anyOf": [
                {"not": {"$ref": f"#/$defs/d{level + 1}"}},
                {"properties": {f"m{level}": {"$ref": f"#/$defs/d{level + 1}"}}},
            ]
        }
        for level in range(30)
    }
    return {"$defs": {**definitions, "d30": {"type": last}}, "$ref": "#/$defs/d0"}


def each_definition_names_all(number: int) -> Any:
    names = {f"x{one}": {"$ref": f"#/$defs/d{one}"} for one in range(number)}
    return {"$ref": "#/$defs/d0", "$defs": {f"d{one}": {"properties": names} for one in range(number)}}


def needs_others(step: int) -> Any:
    return {"dependentRequired": {f"p{one}": [f"p{(one * 7 + step) % 300}"] for one in range(300)}}


def members_of_names(letter: str) -> Any:
    names = [{"pattern": f"^{first}+{letter}*$"} for first in "abcdefghij"]
    return {"propertyNames": {"anyOf": names}, "minProperties": 12}


WORST = {
    "alternatives": (alternatives(20), alternatives(19)),
    "evaluated in place": (evaluated_in_place(False), evaluated_in_place({"type": "string"})),
    "ambiguous names": (ambiguous_names(0), ambiguous_names(1)),
    "many members": (many_members(2), many_members(3)),
    "overlapping": (overlapping(5), overlapping(6)),
    "counted items": (counted_items(7), counted_items(6)),
    "left out numbers": (left_out_numbers(9000), left_out_numbers(9001)),
    "shared factors": (shared_factors(0), shared_factors(1)),
    "referring": (referring("string"), referring("integer")),
    "each definition names all": (each_definition_names_all(60), each_definition_names_all(61)),
    "needs others": (needs_others(1), needs_others(2)),
    "members of names": (members_of_names("x"), members_of_names("y")),
    "long texts": (
        {"type": "string", "minLength": 3_900_000, "pattern": "^(ab|c)*$"},
        {"type": "string", "minLength": 3_900_000, "pattern": "^(ab|d)*$"},
    ),
    "long arrays": (
        {"type": "array", "minItems": 15_000, "contains": {"const": 1}},
        {"type": "array", "minItems": 15_000, "contains": {"const": 1}, "uniqueItems": True},
    ),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WORST if EVERY else list(WORST)[:2])
def test_no_pair_takes_longer_than_five_seconds_of_processor_time(name: str) -> None:
    old, new = WORST[name]
    begin = time.thread_time()
    compare(old, new)

    assert time.thread_time() - begin < MOST_SECONDS


def test_no_verdict_is_false_whenever_the_time_ends() -> None:
    old, new = {"items": {"maxLength": 3}}, {"items": {"maxLength": 2}}
    outcomes = []
    for last in range(10, 200):
        ticks = count()
        with suppress(SchemaError):  # the time ended while the schemas were read
            comparison = compare(old, new, clock=lambda ticks=ticks, last=last: max(0.0, next(ticks) - last))
            outcomes.append((comparison.backward, comparison.forward, len(comparison.changes)))

    assert {backward for backward, _, _ in outcomes} == {Verdict.UNPROVEN, Verdict.BREAKING}
    assert {forward for _, forward, _ in outcomes} == {Verdict.UNPROVEN, Verdict.COMPATIBLE}
    assert (
        Verdict.UNPROVEN,
        Verdict.UNPROVEN,
        1,
    ) in outcomes  # a change is named although no verdict was found
    assert outcomes[-1] == (Verdict.BREAKING, Verdict.COMPATIBLE, 1)


def test_a_clock_that_stands_still_changes_no_verdict() -> None:
    comparison = compare({"maxLength": 3}, {"maxLength": 2}, clock=lambda: 0.0)

    assert (comparison.backward, comparison.forward) == (Verdict.BREAKING, Verdict.COMPATIBLE)
