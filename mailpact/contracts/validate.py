"""Decides whether a parsed body obeys a schema, and explains why it does not.

jsonschema-rs decides: it is the one that is fast enough for every message, and its regular expressions take linear
time. jsonschema explains: it is the reference implementation, and it is loaded only when something is refused. Should
it find nothing wrong (its `$` also matches before a final newline), the explanation is jsonschema-rs' own. A property
test holds the two together.

`format` never decides, and what the message holds never shows in an explanation.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import jsonschema_rs

from mailpact.contracts.catalogue import Contract
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
    """Compile a schema for the engine that decides; raises ValueError as `Validator` does."""
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=False, pattern_options=jsonschema_rs.RegexOptions(), offline=True
    )


class Validator:
    """Checks parsed bodies against one schema; compiling takes a fraction of a millisecond, so keep it."""

    __slots__ = ("_engine", "_schema")

    def __init__(self, schema: JsonObject) -> None:
        """Compile the schema; raises ValueError if it is none of draft 2020-12 or points outside itself."""
        self._schema = schema
        self._engine = compiled(schema)

    def check(self, value: JsonValue) -> Refusal | None:
        """Return None if `value` obeys the schema, else the rule that it breaks, the first in the schema's order.

        `value` is what `parse` returned. Writers pass the bytes that they are about to send through `parse` as well:
        a Python string can hold half a surrogate pair, and that is not found here.
        """
        if self._engine.is_valid(value):
            return None
        return self._explain(value)

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


def accepts_address(contract: Contract, address: str) -> bool:
    """Return whether mail may go to this address, or come from it: whether the contract's member `email` may be it."""
    rule: JsonObject = {**contract.writer_schema, "required": ["email"]}
    # The rule itself says ASCII; a text with half a surrogate pair could not be handed to the engine.
    return address.isascii() and compiled(rule).is_valid({"email": address})


def _refusal(path: Iterable[str | int], keyword: str, detail: str) -> Refusal:
    return Refusal(ErrorCode.SCHEMA, pointer=pointer_to(path), keyword=keyword, detail=detail)


def _keyword(innermost: object, path: Sequence[str | int]) -> str:
    """Name the keyword at fault; for a member's name that is propertyNames, and not what it holds."""
    # jsonschema alone names what stands inside it. A member that is called propertyNames follows `properties`.
    steps = list(path)
    for before, step in zip(["", *steps], steps, strict=False):
        if step == "propertyNames" and before != "properties":
            return "propertyNames"
    return str(innermost)


def _fault(keyword: str, demand: Any, instance: Any) -> str:
    """Say what is wrong in words of the schema; of the instance only that the names it demands are missing."""
    match keyword:
        case "required":
            return "has no " + " and no ".join(name for name in demand if name not in instance)
        case "enum":
            return "is none of: " + ", ".join(str(choice) for choice in demand)
        case _:
            return _FAULTS.get(keyword, f"breaks the keyword {keyword}").format(demand)
