"""Writes a contract's writer schema as TypeScript types, for the part of JSON Schema that contracts use.

Types express less than schemas: lengths, patterns and conditions become comments. A message that has the type can still
be refused. The types help in an editor; a program must still validate a message before it publishes it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailpact.contracts.parse import JsonObject

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_INDENT = "  "
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_SAYING_NOTHING = frozenset({"", "unknown"})
_IN_COMMENTS = (
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "default",
)


def declarations(contract: str, schema: JsonObject) -> str:
    """Return the .d.ts of a contract such as "email/1" from its self-contained schema; every `$ref` begins with `#`."""
    name = type_name(contract)
    definitions: Any = schema.get("$defs", {})
    names = {"#": name} | {f"#/$defs/{word}": name + type_name(word) for word in definitions}
    head = f"// {contract}, for writers. Made by `mailpact contracts publish` from the contract's schema.\n"
    types = [(name, schema), *((names[f"#/$defs/{word}"], definitions[word]) for word in definitions)]
    return "\n".join([head, *(_declaration(each, described, names) for each, described in types)])


def type_name(words: str) -> str:
    """Return the name of a contract's type: `EmailStatus1` for "email-status/1"."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", words))


def _declaration(name: str, schema: Any, names: Mapping[str, str]) -> str:
    return f"{_comment(schema, '')}export type {name} = {_type(schema, names, '')};\n"


def _type(schema: Any, names: Mapping[str, str], indent: str) -> str:
    """Return the type of a schema, as a part of a line or as several lines; `indent` is its depth."""
    if schema is False:
        return "never"
    if not isinstance(schema, dict):
        return "unknown"
    return (
        " & ".join(part for part in _parts(schema, names, indent) if part not in _SAYING_NOTHING) or "unknown"
    )


def _parts(schema: dict[str, Any], names: Mapping[str, str], indent: str) -> Iterator[str]:
    """Return the types that a value must have at the same time."""
    if "$ref" in schema:
        yield names[schema["$ref"]]
    if "const" in schema:
        yield _literal(schema["const"])
    elif "enum" in schema:
        yield _union(_literal(value) for value in schema["enum"])
    else:
        yield _union(_of_kind(kind, schema, names, indent) for kind in _kinds(schema))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            yield _union(_type(_about_named(branch), names, indent) for branch in schema[keyword])
    for branch in schema.get("allOf", []):
        yield _type(_about_named(branch), names, indent)


def _about_named(branch: Any) -> Any:
    """Set `additionalProperties` to false on a branch; the enclosing type lists the other members."""
    if isinstance(branch, dict) and branch.get("type") == "object" and "if" not in branch:
        return {"additionalProperties": False, **branch}
    return branch


def _kinds(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _of_kind(kind: str, schema: dict[str, Any], names: Mapping[str, str], indent: str) -> str:
    match kind:
        case "array":
            return _array(schema, names, indent)
        case "object":
            return _object(schema, names, indent)
        case _:
            return _PLAIN[kind]


def _array(schema: dict[str, Any], names: Mapping[str, str], indent: str) -> str:
    item = _type(schema.get("items", True), names, indent)
    return f"{item}[]" if re.fullmatch(r"\w+", item) else f"Array<{item}>"


def _object(schema: dict[str, Any], names: Mapping[str, str], indent: str) -> str:
    inner = indent + _INDENT
    members = schema.get("properties", {})
    lines = [_member(name, members[name], schema, names, inner) for name in members]
    rest = schema.get("additionalProperties", True)
    if rest is not False:
        # An index signature also applies to the named members, so its type must be `unknown` if there are named
        # members.
        other = "unknown" if members else _type(rest, names, inner)
        lines.append(f"{inner}[member: string]: {other};\n")
    return "{\n" + "".join(lines) + indent + "}"


def _member(name: str, schema: Any, owner: dict[str, Any], names: Mapping[str, str], indent: str) -> str:
    optional = "" if name in owner.get("required", []) else "?"
    key = name if _IDENTIFIER.fullmatch(name) else json.dumps(name)
    return f"{_comment(schema, indent)}{indent}{key}{optional}: {_type(schema, names, indent)};\n"


def _union(types: Iterator[str]) -> str:
    each = list(dict.fromkeys(types))
    return each[0] if len(each) == 1 else f"({' | '.join(each)})" if each else ""


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _comment(schema: Any, indent: str) -> str:
    if not isinstance(schema, dict):
        return ""
    lines = [schema["description"]] if "description" in schema else []
    lines += [f"@{word} {_literal(schema[word])}" for word in _IN_COMMENTS if word in schema]
    if not lines:
        return ""
    safe = [line.replace("*/", "*\\/") for line in lines]
    return f"{indent}/**\n" + "".join(f"{indent} * {line}\n" for line in safe) + f"{indent} */\n"
