"""Validates a document with two engines. Both must agree that one schema accepts and the other refuses the document.

jsonschema-rs takes linear time for patterns. jsonschema uses Python's `re`, which can take exponential time. So, for
each pattern and each string of the document, the ways are counted in which `re` can walk over the string. If there
are too many ways, the document is not validated and counts as not confirmed.
"""

import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any

from mailpact.contracts.parse import JsonValue
from mailpact_contract_tool.compare.deadline import Deadline
from mailpact_contract_tool.compare.draft import Schema
from mailpact_contract_tool.patterns.automaton import Automaton
from mailpact_contract_tool.patterns.reader import UnreadPattern, parse

_MOST_WAYS = 2_000_000
_SHORT = 16  # characters; no pattern of reasonable length is slow for such a text
_DEADLINE: ContextVar[Deadline] = ContextVar("the deadline of the document that jsonschema looks at")


class Engines:
    """Both engines for one schema; an engine that cannot compile the schema never agrees."""

    def __init__(self, schema: Schema, deadline: Deadline) -> None:
        self._deadline = deadline
        self._fast = _compiled(schema)
        self._reference = _reference()(schema)
        self._patterns = {pattern: _automaton(pattern) for pattern in sorted(set(patterns(schema)))}

    def accept(self, value: JsonValue) -> bool | None:
        """Return whether the schema accepts a document; None if the engines disagree or one of them cannot tell.

        Raises OutOfTime.
        """
        if self._fast is None or not self._is_cheap(value):
            return None
        _DEADLINE.set(self._deadline)
        try:
            verdicts = {bool(self._fast.is_valid(value)), self._reference.is_valid(value)}
        except (re.error, ValueError, RecursionError, OverflowError):
            return None
        return verdicts.pop() if len(verdicts) == 1 else None

    def _is_cheap(self, value: JsonValue) -> bool:
        texts = _texts(value)
        check = self._deadline.check
        return all(
            len(text) <= _SHORT
            if automaton is None
            else automaton.cost(text, _MOST_WAYS, check) <= _MOST_WAYS
            for automaton in self._patterns.values()
            for text in texts
        )


@cache
def _reference() -> Any:
    """Return jsonschema's validator with a deadline: nested `unevaluatedProperties` double its time at each level."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    timed = {word: _timed(function) for word, function in Draft202012Validator.VALIDATORS.items()}
    return extend(Draft202012Validator, timed)  # type: ignore[no-untyped-call]  # jsonschema has no type hints


def _timed(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def timed(validator: Any, demand: Any, instance: Any, schema: Any) -> Any:
        _DEADLINE.get().check()
        return keyword(validator, demand, instance, schema)

    return timed


def _compiled(schema: Schema) -> Any:
    import jsonschema_rs

    for options in (jsonschema_rs.RegexOptions(), jsonschema_rs.FancyRegexOptions()):
        try:
            return jsonschema_rs.Draft202012Validator(
                schema, validate_formats=False, pattern_options=options, offline=True
            )
        except ValueError:
            continue
    return None


def _automaton(pattern: str) -> Automaton | None:
    try:
        return Automaton(parse(pattern))
    except UnreadPattern:
        return None


def patterns(schema: JsonValue) -> Iterator[str]:
    """Yield every string that may be a pattern."""
    for value in _inside(schema):
        if isinstance(value, dict):
            named, single = value.get("patternProperties"), value.get("pattern")
            yield from named if isinstance(named, dict) else ()
            yield from [single] if isinstance(single, str) else ()


def _texts(document: JsonValue) -> set[str]:
    """Return every string of a document, and the names of all members."""
    values = [*_inside(document)]
    names = {name for value in values if isinstance(value, dict) for name in value}
    return names | {value for value in values if isinstance(value, str)}


def _inside(value: JsonValue) -> Iterator[JsonValue]:
    """Yield a value and every value inside it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _inside(inner)
