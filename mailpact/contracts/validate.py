"""Decides whether a parsed body obeys a schema, and explains why it does not.

jsonschema-rs decides, because it is fast enough for every message, and its regular expressions take linear time.
jsonschema, the reference implementation, explains; it is loaded only after a refusal. If jsonschema accepts the value
(its `$` also matches before a final newline), jsonschema-rs explains. A property test compares the two.

`format` never decides, and an explanation never shows the content of a message.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import jsonschema_rs

from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact.contracts.pointer import pointer_to

_FAULTS: Final = {
    "additionalProperties": "has a member that the contract does not name",
    "anyOf": "has none of the forms that the contract allows",
    "maxItems": "has more than {} items",
    "maxLength": "has more than {} characters",
    "maxProperties": "has more than {} members",
    "maximum": "is more than {}",
    "minItems": "has fewer than {} items",
    "minLength": "has fewer than {} characters",
    "minimum": "is less than {}",
    "not": "has a form that the contract refuses",
    "pattern": "does not match the pattern",
    "propertyNames": "has a member whose name the contract does not allow",
    "type": "is not of type {}",
}


def compiled(schema: JsonObject) -> jsonschema_rs.Draft202012Validator:
    """Compile a schema for jsonschema-rs. Raises ValueError for an invalid schema or a reference to another file."""
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=False, pattern_options=jsonschema_rs.RegexOptions(), offline=True
    )


class Validator:
    """Checks parsed bodies against one schema; keep a validator, because compiling costs part of a millisecond."""

    __slots__ = ("_engine", "_schema")

    def __init__(self, schema: JsonObject) -> None:
        """Compile the schema. Raises ValueError as `compiled`."""
        self._schema = schema
        self._engine = compiled(schema)

    def check(self, value: JsonValue) -> Refusal | None:
        """Return None if `value` obeys the schema, else the first rule in the schema's order that it breaks.

        `value` comes from `parse`. Writers parse their own bytes too, because a Python string can hold half a surrogate
        pair, which is not found here.
        """
        return None if self._engine.is_valid(value) else self._explain(value)

    def _explain(self, value: JsonValue) -> Refusal:
        from jsonschema import Draft202012Validator

        for error in Draft202012Validator(self._schema).iter_errors(value):
            keyword = _keyword(error.validator, error.absolute_schema_path)
            return _refusal(
                error.absolute_path, keyword, _fault(keyword, error.validator_value, error.instance)
            )
        decided = next(self._engine.iter_errors(value))
        keyword = decided.kind.name
        return _refusal(decided.instance_path, keyword, f"breaks the keyword {keyword}")


def _refusal(path: Iterable[str | int], keyword: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.SCHEMA, pointer=pointer_to(path), keyword=keyword, detail=detail)


def _keyword(innermost: object, path: Sequence[str | int]) -> str:
    """Return the keyword at fault; for a refused name of a member, the keyword is propertyNames."""
    # jsonschema names the keyword inside propertyNames. A member called propertyNames follows `properties`.
    steps = list(path)
    for before, step in zip(["", *steps], steps, strict=False):
        if step == "propertyNames" and before != "properties":
            return "propertyNames"
    return str(innermost)


def _fault(keyword: str, demand: Any, instance: Any) -> str:
    """Describe the fault by the schema; the only part of the body that is shown are missing names."""
    match keyword:
        case "required":
            return "has no " + " and no ".join(name for name in demand if name not in instance)
        case "enum":
            return "is none of: " + ", ".join(str(choice) for choice in demand)
        case _:
            return _FAULTS.get(keyword, f"breaks the keyword {keyword}").format(demand)
