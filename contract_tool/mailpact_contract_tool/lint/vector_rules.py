"""Rules about vectors and examples: they agree with the contract, and some vector breaks each keyword of a schema.

A vector is read as a consumer reads a message: properties first, then the body. Codes that depend on several messages
or on an operator (`id_conflict`, `template_unknown`) cannot be derived; for these codes only the body is checked.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from mailpact.contracts.catalogue import Binding, Limits
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, JsonValue, parse
from mailpact.contracts.pointer import pointer_to
from mailpact_contract_tool.folder.documents import array_at, object_at
from mailpact_contract_tool.lint.rules import Fault, LintRule
from mailpact_contract_tool.lint.subschemas import BY_TYPE, below, places

MAX_VECTOR_BYTES = 4 * 1024 * 1024
_DERIVED = frozenset(list(ErrorCode)[: list(ErrorCode).index(ErrorCode.UNSUPPORTED_VERSION) + 1])
_APPLIED = frozenset({"format", "items", "maxContains", "minContains", "prefixItems", "properties"})
"""Keywords that refuse no value by themselves."""
_ASSERTIONS = (
    frozenset({"anyOf", "const", "enum", "not", "oneOf", "type"}).union(*BY_TYPE.values()) - _APPLIED
)
_ALTERNATIVES = frozenset({"anyOf", "contains", "dependentRequired", "oneOf", "propertyNames"})


@dataclass(frozen=True, slots=True)
class Failure:
    """A keyword that refuses a body: the pointers into the body and into the schema."""

    pointer: str
    keyword: str
    schema_pointer: str


class Engine:
    """A compiled schema that reports every broken keyword; raises ValueError if the schema does not compile."""

    def __init__(self, schema: JsonObject) -> None:
        from mailpact.contracts.validate import compiled

        self._validator = compiled(schema)

    def accepts(self, value: JsonValue) -> bool:
        """Return whether a value obeys the schema."""
        return self._validator.is_valid(value)

    def failures(self, value: JsonValue) -> Iterator[Failure]:
        """Yield every keyword that a value breaks, including keywords in alternatives; a keyword may come twice."""
        for error in self._validator.iter_errors(value):
            location = pointer_to(error.schema_path)
            keyword = location.rpartition("/")[2]
            if error.kind.name == "propertyNames":  # the reported location is that of the subschema
                keyword = error.kind.name
            yield Failure(pointer_to(error.instance_path), keyword, location)
        # Only the evaluation reports on alternatives. It joins some keywords (minLength and maxLength), and lists
        # both of them, but only the broken keyword has an error with its name.
        for unit in self._validator.evaluate(value).list().get("details", ()):
            location = unit["schemaLocation"].rpartition("#")[2]  # the schema's $id stands before `#`
            keyword = location.rpartition("/")[2]
            if not unit["valid"] and (keyword in _ALTERNATIVES or keyword in unit.get("errors", ())):
                yield Failure(unit["instanceLocation"], keyword, location)


def sent_body(vector: JsonObject) -> bytes | None:
    """Return the bytes of a vector's body; None if the body cannot be made or is larger than 4 MiB."""
    match vector:
        case {"body": str(body)}:
            return body.encode()
        case {"body_base64": str(encoded)}:
            try:
                return base64.b64decode(encoded, validate=True)
            except binascii.Error:
                return None
        case {"body_pieces": list(pieces)}:
            return _joined(pieces)
        case _:
            return None


def _joined(pieces: list[JsonValue]) -> bytes | None:
    # The check of the form ensures that `times` is an integer; 3.0 counts as an integer, too.
    parts = [
        (str(piece["text"]).encode(), int(float(str(piece["times"]))))
        for piece in pieces
        if isinstance(piece, dict)
    ]
    if sum(len(text) * times for text, times in parts) > MAX_VECTOR_BYTES:
        return None
    return b"".join(text * times for text, times in parts)


def refused(vector: JsonObject, body: bytes, binding: Binding | None, limits: Limits) -> Refusal | JsonValue:
    """Return the first refusal before the schema is asked, or the parsed body."""
    if binding is not None:
        refusal = _property_refusal(vector, binding)
        if refusal is not None:
            return refusal
    return parse(body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)


def _property_refusal(vector: JsonObject, binding: Binding) -> Refusal | None:
    properties = object_at(vector, "properties")
    # A vector without `type` does not test the type, so the type is taken from the vector's folder.
    stated = (
        properties.get("type", binding.type),
        vector.get("content_type", binding.content_type),
        properties.get("content_encoding"),
    )
    return binding.refuse(*(str(value) if value else None for value in stated))


def untyped_fault(vector: JsonObject, binding: Binding) -> Fault | None:
    """Return the fault of a vector without `type` if readers refuse a message without a type; otherwise None."""
    if binding.type_optional or "type" in object_at(vector, "properties"):
        return None
    rule = LintRule.INVALID_VECTOR_REFUSED_OTHERWISE if "error" in vector else LintRule.VALID_VECTOR_REFUSED
    return Fault(
        rule,
        "/properties",
        f'states no type, and readers of {binding.contract} refuse a message without one: add "properties": '
        f'{{"type": "{binding.type}"}}, where an empty type stands for a message without one',
    )


def valid_faults(
    outcome: Refusal | JsonValue, reader: Engine, writer: Engine, vector: JsonObject
) -> Iterator[Fault]:
    """Check a valid vector: readers accept it, and writers accept it unless the vector states `writer_error`."""
    if isinstance(outcome, Refusal):
        yield Fault(
            LintRule.VALID_VECTOR_REFUSED,
            "",
            f"is called valid and is refused: {outcome.code}, {outcome.detail}",
        )
        return
    broken = next(reader.failures(outcome), None) if not reader.accepts(outcome) else None
    if broken is not None:
        yield Fault(
            LintRule.VALID_VECTOR_REFUSED,
            "",
            f"is called valid; the schema refuses it at {_place(broken.pointer)} by {broken.keyword}",
        )
    yield from _writer_faults(outcome, writer, vector)


def _writer_faults(value: JsonValue, writer: Engine, vector: JsonObject) -> Iterator[Fault]:
    expected = vector.get("writer_error")
    accepts = writer.accepts(value)
    if isinstance(expected, dict):
        if accepts:
            yield Fault(
                LintRule.INVALID_VECTOR_ACCEPTED, "/writer_error", "the writers' schema accepts this body"
            )
        elif not _is_among(expected, writer, value):
            yield Fault(
                LintRule.INVALID_VECTOR_REFUSED_OTHERWISE,
                "/writer_error",
                "the writers' schema refuses it by another keyword",
            )
    elif not accepts:
        yield Fault(
            LintRule.VALID_VECTOR_REFUSED,
            "",
            "the writers' schema refuses this body; state this in writer_error, or correct the body",
        )


def invalid_faults(outcome: Refusal | JsonValue, reader: Engine, vector: JsonObject) -> Iterator[Fault]:
    """Check that an invalid vector is refused with its code, pointer and keyword."""
    error = vector.get("error")
    if not isinstance(error, dict):
        yield Fault(LintRule.FILE_MALFORMED, "", "an invalid vector has an error with its code")
        return
    code = str(error["code"])
    if isinstance(outcome, Refusal):
        found = str(outcome.code)
    elif reader.accepts(outcome):
        found = ""
    else:
        found = str(ErrorCode.SCHEMA)
    has_headers = "headers" in object_at(vector, "properties")
    if code not in _DERIVED or (code == ErrorCode.TOO_LARGE and has_headers):
        if found:
            yield Fault(
                LintRule.INVALID_VECTOR_REFUSED_OTHERWISE,
                "/error/code",
                f"is refused with {found} before {code}",
            )
    elif not found:
        yield Fault(LintRule.INVALID_VECTOR_ACCEPTED, "", "is called invalid, and the contract accepts it")
    elif found != code:
        yield Fault(
            LintRule.INVALID_VECTOR_REFUSED_OTHERWISE,
            "/error/code",
            f"is refused with {found}, not with {code}",
        )
    elif not isinstance(outcome, Refusal) and not _is_among(error, reader, outcome):
        yield Fault(
            LintRule.INVALID_VECTOR_REFUSED_OTHERWISE,
            "/error",
            "the schema refuses it at another place or by another keyword",
        )


def _is_among(expected: JsonObject, engine: Engine, value: JsonValue) -> bool:
    return any(
        expected.get("pointer", failure.pointer) == failure.pointer
        and expected.get("keyword", failure.keyword) == failure.keyword
        for failure in engine.failures(value)
    )


def _place(pointer: str) -> str:
    return pointer or "the top"


def assertions(schema: JsonObject) -> Iterator[str]:
    """Yield the pointer of every keyword that can refuse a body by itself, except those inside `if` and `not`."""
    hidden: set[str] = set()
    for place in places(schema):
        if place.keyword in ("if", "not") or (place.parent is not None and place.parent.pointer in hidden):
            hidden.add(place.pointer)
            continue
        for keyword in place.schema:
            value = place.schema[keyword]
            if place.keyword == "propertyNames" and keyword == "type":
                continue  # a member's name is always a string
            if keyword in _ASSERTIONS and not (
                keyword in ("additionalProperties", "propertyNames") and value is not False
            ):
                yield below(place.pointer, keyword)


def example_faults(schema: JsonObject, engine: Engine, *, side: str) -> Iterator[Fault]:
    """Check the examples of a schema against a schema."""
    for number, example in enumerate(array_at(schema, "examples")):
        if not engine.accepts(example):
            yield Fault(
                LintRule.EXAMPLE_REFUSED, f"/examples/{number}", f"the {side}' schema refuses this example"
            )


def untried_faults(schema: JsonObject, tried: set[str]) -> Iterator[Fault]:
    """Find keywords that no vector breaks; `tried` are the pointers of the keywords that some vector breaks."""
    for pointer in assertions(schema):
        if pointer not in tried:
            keyword = pointer.rpartition("/")[2]
            yield Fault(
                LintRule.KEYWORD_UNTRIED,
                pointer,
                f"no vector breaks this {keyword}; add an invalid one that does",
            )


def code_faults(vector: JsonObject, codes: frozenset[str]) -> Iterator[Fault]:
    """Check that errors.json has the error code of a vector."""
    error = vector.get("error")
    if isinstance(error, dict) and error["code"] not in codes:
        yield Fault(
            LintRule.ERROR_CODE_UNKNOWN, "/error/code", f"errors.json has no code {str(error['code'])[:60]!r}"
        )
