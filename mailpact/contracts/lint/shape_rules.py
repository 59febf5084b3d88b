"""Portable rules about references, keywords, types and members; open readers and closed writers."""

from collections.abc import Iterator

from mailpact.contracts.lint.faults import Fault
from mailpact.contracts.lint.rules import Rule
from mailpact.contracts.lint.subschemas import (
    BY_TYPE,
    FORBIDDEN,
    IN_PLACE,
    KNOWN,
    Place,
    below,
    definition,
    is_local,
    places,
    types,
)
from mailpact.contracts.parse import JsonObject


def reference_faults(place: Place, root: JsonObject) -> Iterator[Fault]:
    """Look at where one subschema refers to."""
    reference = place.schema.get("$ref")
    if not isinstance(reference, str):
        return
    pointer = below(place.pointer, "$ref")
    if not is_local(reference):
        yield Fault(
            Rule.REFERENCE_NOT_LOCAL,
            pointer,
            f"{reference[:100]!r} is not of the form #/$defs/NAME; put it into $defs",
        )
    elif definition(root, reference) is None:
        yield Fault(Rule.REFERENCE_UNRESOLVED, pointer, f"{reference[:100]!r} leads to no schema")


def recursion_faults(root: JsonObject) -> Iterator[Fault]:
    """Find definitions that come back to themselves."""
    definitions = root.get("$defs")
    if not isinstance(definitions, dict):
        return
    uses = {
        f"#/$defs/{name.replace('~', '~0').replace('/', '~1')}": _references(schema)
        for name, schema in definitions.items()
        if isinstance(schema, dict)
    }
    for reference in uses:
        seen, todo = set[str](), [reference]
        while todo:
            for used in uses.get(todo.pop(), frozenset()) - seen:
                seen.add(used)
                todo.append(used)
        if reference in seen:
            yield Fault(
                Rule.REFERENCE_RECURSIVE,
                reference[1:],
                "refers to itself, so that no limit bounds what it describes",
            )


def _references(schema: JsonObject) -> frozenset[str]:
    return frozenset(
        reference for place in places(schema) if isinstance(reference := place.schema.get("$ref"), str)
    )


def keyword_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Look at the names of the keywords."""
    for keyword in place.schema:
        pointer = below(place.pointer, keyword)
        if keyword in FORBIDDEN:
            yield Fault(Rule.KEYWORD_FORBIDDEN, pointer, f"{keyword} is not portable: {FORBIDDEN[keyword]}")
        elif keyword in ("$id", "$schema") and place.parent is not None:
            yield Fault(Rule.KEYWORD_FORBIDDEN, pointer, f"{keyword} stands at the top only")
        elif keyword not in KNOWN:
            yield Fault(
                Rule.KEYWORD_UNKNOWN,
                pointer,
                f"{keyword[:60]!r} is no keyword: strict engines refuse it, others skip it",
            )


def required_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Look for required members that the same subschema does not describe."""
    required, properties = place.schema.get("required"), place.schema.get("properties")
    named = properties if isinstance(properties, dict) else {}
    for number, name in enumerate(required if isinstance(required, list) else []):
        if name not in named:
            yield Fault(
                Rule.REQUIRED_NOT_NAMED,
                below(below(place.pointer, "required"), number),
                f"{name!r} is required and not in properties beside it; name it there, true is enough",
            )


def type_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Look for keywords that say nothing about other types, where the type is not stated."""
    stated = types(place.schema)
    for type_name, keywords in BY_TYPE.items():
        accepted = {type_name, "integer"} if type_name == "number" else {type_name}
        used = sorted(keywords & set(place.schema))
        if used and not stated & accepted and not _type_stands_above(place, accepted):
            yield Fault(
                Rule.TYPE_NOT_STATED,
                below(place.pointer, used[0]),
                f"{used[0]} lets every value through that is no {type_name}; state the type beside it",
            )


def _type_stands_above(place: Place, accepted: set[str]) -> bool:
    """Whether the schema that this one is applied beside has said the type already, of the same value."""
    return any(types(other.schema) & accepted for other in _same_value(place))


def reader_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Look for objects of a reader that refuse what a later minor version may add."""
    if place.schema.get("additionalProperties") is False and not place.negated:
        yield Fault(
            Rule.READER_CLOSED,
            below(place.pointer, "additionalProperties"),
            "a reader ignores members that it does not know, or no member can ever be added",
        )


def writer_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Look for objects of a writer that let a misspelt member through without saying that they mean to."""
    says = any("additionalProperties" in other.schema for other in (place, *_same_value(place)))
    if "properties" in place.schema and not place.negated and not says:
        yield Fault(
            Rule.WRITER_OPEN,
            below(place.pointer, "properties"),
            "a writer sends these members and no others; add additionalProperties: false",
        )


def _same_value(place: Place) -> Iterator[Place]:
    while place.parent is not None and place.keyword in IN_PLACE:
        place = place.parent
        yield place
