"""Portable rules about references, keywords, types and members; open readers and closed writers."""

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter

from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.compare.circles import in_circles
from mailpact_contract_tool.folder.documents import array_at, object_at
from mailpact_contract_tool.lint.rules import Fault, LintRule
from mailpact_contract_tool.lint.subschemas import (
    BY_TYPE,
    FORBIDDEN,
    IN_PLACE,
    KNOWN,
    Place,
    below,
    definition,
    is_local,
    places,
    reference_to,
    types,
)

MOST_SUBSCHEMAS = 20_000
DEEPEST_REFERENCE = 64


def reference_faults(place: Place, root: JsonObject) -> Iterator[Fault]:
    """Check the target of the reference of one subschema."""
    reference = place.schema.get("$ref")
    if not isinstance(reference, str):
        return
    shown = repr(reference[:100])
    if not is_local(reference):
        sentence = f"{shown} is not of the form #/$defs/NAME; put it into $defs"
        yield place.fault(LintRule.REFERENCE_NOT_LOCAL, "$ref", sentence)
    elif definition(root, reference) is None:
        yield place.fault(LintRule.REFERENCE_UNRESOLVED, "$ref", f"{shown} refers to no schema")


def endless_faults(root: JsonObject) -> Iterator[Fault]:
    """Find definitions that lead back to themselves, and definitions that are too large when written out.

    Ten definitions that each use the next definition ten times are ten thousand million subschemas for an engine.
    """
    named = object_at(root, "$defs").items()
    schemas = {reference_to(name): schema for name, schema in named if isinstance(schema, dict)}
    used = {reference: _references(schema) for reference, schema in schemas.items()}
    recursive = in_circles(used)
    for reference in recursive:
        sentence = "refers to itself, so that no limit bounds what it describes"
        yield Fault(LintRule.REFERENCE_RECURSIVE, reference[1:], sentence)
    if recursive:
        return
    size, depth = _written_out(root, schemas, used)
    if size > MOST_SUBSCHEMAS or depth > DEEPEST_REFERENCE:
        yield Fault(
            LintRule.REFERENCES_EXPLODE,
            "/$defs",
            f"with all references written out, this schema has more than {MOST_SUBSCHEMAS} subschemas, "
            f"or follows more than {DEEPEST_REFERENCE} references one after the other",
        )


def _written_out(
    root: JsonObject, schemas: Mapping[str, JsonObject], used: Mapping[str, list[str]]
) -> tuple[int, int]:
    """Return the number of subschemas with every reference written out, and the longest chain of references.

    No definition leads back to itself.
    """
    top = {name: root[name] for name in root if name != "$defs"}
    uses = {**used, "": _references(top)}
    sizes: dict[str, tuple[int, int]] = {}
    for name in TopologicalSorter(uses).static_order():
        if name in uses:
            known = [sizes[other] for other in uses[name] if other in sizes]
            size = sum(1 for _ in places(schemas.get(name, top))) + sum(size for size, _ in known)
            depth = 1 + max((depth for _, depth in known), default=-1)
            sizes[name] = min(size, MOST_SUBSCHEMAS + 1), depth
    return sizes[""]


def _references(schema: JsonObject) -> list[str]:
    """Return the references of a schema, each as often as it occurs."""
    return [reference for place in places(schema) if isinstance(reference := place.schema.get("$ref"), str)]


def keyword_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Check the names of the keywords."""
    for keyword in place.schema:
        if keyword in FORBIDDEN:
            sentence = f"{keyword} is not portable: {FORBIDDEN[keyword]}"
            yield place.fault(LintRule.KEYWORD_FORBIDDEN, keyword, sentence)
        elif keyword in ("$id", "$schema") and place.parent is not None:
            yield place.fault(LintRule.KEYWORD_FORBIDDEN, keyword, f"{keyword} is allowed only at the top")
        elif keyword not in KNOWN:
            sentence = f"{keyword[:60]!r} is no keyword: strict engines refuse it, others skip it"
            yield place.fault(LintRule.KEYWORD_UNKNOWN, keyword, sentence)


def required_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Find required members that the same subschema does not describe."""
    for number, name in enumerate(array_at(place.schema, "required")):
        if name not in object_at(place.schema, "properties"):
            yield Fault(
                LintRule.REQUIRED_NOT_NAMED,
                below(below(place.pointer, "required"), number),
                f"{name!r} is required and not in properties beside it; name it there, true is enough",
            )


def type_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Find keywords that restrict only one type although the type is not stated."""
    stated = types(place.schema)
    for type_name, keywords in BY_TYPE.items():
        accepted = {type_name, "integer"} if type_name == "number" else {type_name}
        used = sorted(keywords & set(place.schema))
        if used and not stated & accepted and not _type_stands_above(place, accepted):
            sentence = f"{used[0]} lets every value through that is no {type_name}; state the type beside it"
            yield place.fault(LintRule.TYPE_NOT_STATED, used[0], sentence)


def _type_stands_above(place: Place, accepted: set[str]) -> bool:
    """Return whether an enclosing schema states the type of the same value."""
    return any(types(other.schema) & accepted for other in _same_value(place))


def reader_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Find objects of a readers' schema that refuse members of a later minor version."""
    if place.schema.get("additionalProperties") is False and not place.negated:
        sentence = "a reader ignores members that it does not know, or no member can ever be added"
        yield place.fault(LintRule.READER_CLOSED, "additionalProperties", sentence)


def writer_faults(place: Place, _root: JsonObject) -> Iterator[Fault]:
    """Find objects of a writers' schema that accept misspelt members without stating additionalProperties."""
    says = any("additionalProperties" in other.schema for other in (place, *_same_value(place)))
    if "properties" in place.schema and not place.negated and not says:
        sentence = "a writer sends these members and no others; add additionalProperties: false"
        yield place.fault(LintRule.WRITER_OPEN, "properties", sentence)


def _same_value(place: Place) -> Iterator[Place]:
    while place.parent is not None and place.keyword in IN_PLACE:
        place = place.parent
        yield place
