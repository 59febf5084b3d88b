"""Reads a message's body as strict JSON, the same way in every language.

JSON parsers disagree about what RFC 8259 leaves open: a byte order mark, NaN, numbers beyond a double, half a surrogate
pair, a member written twice. A body that two readers could understand differently is therefore refused, each kind with
its own code, and the first that applies in this order is reported:

    too_large          more bytes than allowed
    too_deep           nested deeper than allowed; scanned over the bytes, before anything is parsed
    invalid_encoding   not UTF-8
    byte_order_mark    begins with EF BB BF
    invalid_json       not one JSON text; NaN, Infinity and -Infinity count as numbers here
    invalid_number     NaN, Infinity, -Infinity, or a number whose nearest double is infinite
    lone_surrogate     an escaped surrogate without its other half
    duplicate_key      a name twice in one object, at any depth

Time and memory are bounded by the size of the body: nothing here backtracks or recurses deeper than `max_depth`.
"""

import json
import math
import re
from typing import TypeAlias

from mailpact.contracts.errors import ErrorCode, Refusal

JsonValue: TypeAlias = dict[str, "JsonValue"] | list["JsonValue"] | str | int | float | bool | None
JsonObject: TypeAlias = dict[str, JsonValue]

_LONGEST_SAFE_INTEGER = 308  # characters; the greatest double, 1.8e308, has 309 digits
_BRACKET = re.compile(
    rb"""(?: [^"\[\]{}]++                                      # what stands between brackets
           | " [^"\\]*+ (?: \\. [^"\\]*+ )*+ (?: " | \\?\Z )  # a whole string
         )*+
         ([\[\]{}]|\Z)  # the end is a match too, or the search would begin again at each byte of the tail""",
    re.DOTALL | re.VERBOSE,
)
_SURROGATE_ESCAPE = re.compile(r"\\u[Dd][89A-Fa-f]")
_ESCAPE = re.compile(
    r"""\\u[Dd][89ABab]..\\u[Dd][C-Fc-f]..   # a pair: one character
      | (?P<lone>\\u[Dd][89A-Fa-f]..)
      | \\.                                  # any other escape, so that an escaped backslash hides no surrogate""",
    re.VERBOSE,
)


def parse(body: bytes, *, max_bytes: int, max_depth: int) -> JsonValue | Refusal:
    """Return the value that `body` holds, or the first reason in the module's order to refuse it."""
    if len(body) > max_bytes:
        return Refusal(ErrorCode.TOO_LARGE, detail=f"the body has {len(body)} bytes; {max_bytes} are allowed")
    if _is_deeper(body, max_depth):
        return Refusal(ErrorCode.TOO_DEEP, detail=f"nested deeper than {max_depth} objects and arrays")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        return Refusal(ErrorCode.INVALID_ENCODING, detail=f"not UTF-8 from byte {error.start} on")
    if text.startswith("\ufeff"):
        return Refusal(ErrorCode.BYTE_ORDER_MARK, detail="the body begins with a byte order mark")
    return _parse_text(text)


def _parse_text(text: str) -> JsonValue | Refusal:
    findings = _Findings()
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=findings.object,
            parse_int=findings.integer,
            parse_float=findings.real,
            parse_constant=findings.constant,
        )
    except json.JSONDecodeError as error:
        return Refusal(
            ErrorCode.INVALID_JSON, detail=f"not JSON at line {error.lineno}, column {error.colno}"
        )
    if findings.unbounded_number:
        return Refusal(ErrorCode.INVALID_NUMBER, detail="a number is NaN, infinite or too large for a double")
    if _has_lone_surrogate(text):
        return Refusal(ErrorCode.LONE_SURROGATE, detail="a string holds half of a surrogate pair")
    if findings.repeated_name:
        return Refusal(ErrorCode.DUPLICATE_KEY, detail="an object has two members of one name")
    return value


class _Findings:
    """Notes what the parser lets through; raising at once would hide that the rest is not JSON at all."""

    __slots__ = ("repeated_name", "unbounded_number")

    def __init__(self) -> None:
        self.unbounded_number = False
        self.repeated_name = False

    def object(self, members: list[tuple[str, JsonValue]]) -> JsonObject:
        value = dict(members)
        if len(value) != len(members):
            self.repeated_name = True
        return value

    def integer(self, literal: str) -> int:
        """Convert at most 309 digits: `int` takes quadratic time for more, and raises past 4300."""
        if len(literal) > _LONGEST_SAFE_INTEGER and math.isinf(float(literal)):
            self.unbounded_number = True
            return 0
        return int(literal)

    def real(self, literal: str) -> float:
        value = float(literal)
        if math.isinf(value):
            self.unbounded_number = True
        return value

    def constant(self, _literal: str) -> None:
        self.unbounded_number = True


def _is_deeper(body: bytes, max_depth: int) -> bool:
    """Count brackets outside strings; a closing one that closes nothing counts as nothing.

    A string runs from a quotation mark to the next that no backslash escapes, or to the end. That is defined for any
    bytes, JSON or not, so that every language gives the same answer.
    """
    if len(body.split(b"[", max_depth + 1)) + len(body.split(b"{", max_depth + 1)) <= max_depth + 2:
        return False
    depth = 0
    for match in _BRACKET.finditer(body):
        if match[1] in (b"[", b"{"):
            depth += 1
            if depth > max_depth:
                return True
        elif depth:
            depth -= 1
    return False


def _has_lone_surrogate(text: str) -> bool:
    """Look at the escapes of valid JSON text; a surrogate cannot come in any other way through UTF-8."""
    if _SURROGATE_ESCAPE.search(text) is None:
        return False
    return any(escape["lone"] for escape in _ESCAPE.finditer(text))
