"""Lists the members of a message from its schema: one row for each member, in the schema's order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mailpact.contracts.parse import JsonObject

_DEEPEST = 8  # limits schemas that contain themselves
_LENGTHS = (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "items"))
_SIZES = (("minProperties", "maxProperties", "members"), ("minimum", "maximum", ""))


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its path, such as `to[].address`, and its description; `pattern` is empty if there is none."""

    path: str
    type: str
    required: bool
    limits: str
    pattern: str
    description: str


def members(schema: JsonObject) -> tuple[Member, ...]:
    """Return the members of a self-contained schema. Nested members follow the member that contains them."""
    return tuple(_below(schema, schema, "", 0))


def _below(schema: Any, whole: JsonObject, path: str, depth: int) -> Iterator[Member]:
    schema = _resolved(schema, whole)
    if depth > _DEEPEST:
        return
    for name, described in schema.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        yield _member(inner, described, whole, required=name in schema.get("required", []))
        yield from _below(described, whole, inner, depth + 1)
    if isinstance(schema.get("items"), dict):
        yield from _below(schema["items"], whole, f"{path}[]", depth + 1)


def _member(path: str, schema: Any, whole: JsonObject, *, required: bool) -> Member:
    resolved = _resolved(schema, whole)
    return Member(
        path=path,
        type=_type(resolved, whole),
        required=required,
        limits="; ".join(_limits(resolved)),
        pattern=str(resolved.get("pattern", "")),
        description=_description(schema, whole),
    )


def _description(schema: Any, whole: JsonObject) -> str:
    """Return the description of a member itself, followed by the description of its type."""
    if not isinstance(schema, dict):
        return ""
    kind = _resolved({"$ref": schema["$ref"]}, whole) if "$ref" in schema else {}
    return " ".join(filter(None, (schema.get("description"), kind.get("description"))))


def _type(schema: dict[str, Any], whole: JsonObject) -> str:
    if "const" in schema:
        return f"always {schema['const']}"
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    kinds = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"array of {_type(_resolved(schema['items'], whole), whole)}"
    rest = schema.get("additionalProperties")
    if kind == "object" and isinstance(rest, dict):
        return f"object of {_type(_resolved(rest, whole), whole)}"
    return kind


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    for least, most, unit in (*_LENGTHS, *_SIZES):
        words = _between(schema.get(least), schema.get(most))
        if words:
            yield f"{words} {unit}".strip()
    if "pattern" in schema:
        yield "a pattern"
    if isinstance(schema.get("additionalProperties"), dict):
        yield from (f"each value {words}" for words in _limits(schema["additionalProperties"]))


def _between(least: int | None, most: int | None) -> str:
    match least, most:
        case None, None:
            return ""
        case _, None:
            return f"at least {least:,}"
        case None, _:
            return f"at most {most:,}"
        case _:
            return f"{least:,} to {most:,}" if least != most else f"exactly {most:,}"


def _resolved(schema: Any, whole: JsonObject) -> dict[str, Any]:
    """Return the target of `#/$defs/…`. Keywords next to the reference replace keywords of the target."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema:
            break
        definitions: Any = whole.get("$defs", {})
        found = (
            whole if schema["$ref"] == "#" else definitions.get(schema["$ref"].removeprefix("#/$defs/"), {})
        )
        schema = {**found, **{word: value for word, value in schema.items() if word != "$ref"}}
    return schema if isinstance(schema, dict) else {}
