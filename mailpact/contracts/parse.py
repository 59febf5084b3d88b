"""Reads a message's body as strict JSON, the same way in every language.

JSON parsers disagree about what RFC 8259 leaves open: a byte order mark, NaN, numbers beyond a double, half a surrogate
pair, a member written twice. A body that two readers could understand differently is therefore refused. The first code
that applies, in this order, is reported:

    too_large          more bytes than allowed
    too_deep           nested deeper than allowed; scanned over the bytes, before anything is parsed
    invalid_encoding   not UTF-8
    byte_order_mark    begins with EF BB BF
    invalid_json       not one JSON text; NaN, Infinity and -Infinity count as numbers here
    invalid_number     NaN, Infinity, -Infinity, or a number whose nearest double is infinite
    lone_surrogate     an escaped surrogate without its other half
    duplicate_key      a name twice in one object, at any depth

Time and memory grow with the size of the body only: nothing here backtracks or recurses deeper than `max_depth`.
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
    # The parser only records what it must accept: an exception would hide that the rest of the text is not JSON.
    found: set[ErrorCode] = set()

    def to_object(members: list[tuple[str, JsonValue]]) -> JsonObject:
        value = dict(members)
        if len(value) != len(members):
            found.add(ErrorCode.DUPLICATE_KEY)
        return value

    def to_integer(literal: str) -> int:
        """Convert at most 309 digits: `int` takes quadratic time for more, and raises past 4300."""
        return 0 if len(literal) > _LONGEST_SAFE_INTEGER and math.isinf(to_real(literal)) else int(literal)

    def to_real(literal: str) -> float:
        value = float(literal)
        if not math.isfinite(value):
            found.add(ErrorCode.INVALID_NUMBER)
        return value

    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=to_object,
            parse_int=to_integer,
            parse_float=to_real,
            parse_constant=to_real,
        )
    except json.JSONDecodeError as error:
        return Refusal(
            ErrorCode.INVALID_JSON, detail=f"not JSON at line {error.lineno}, column {error.colno}"
        )
    if ErrorCode.INVALID_NUMBER in found:
        return Refusal(ErrorCode.INVALID_NUMBER, detail="a number is NaN, infinite or too large for a double")
    if _has_lone_surrogate(text):
        return Refusal(ErrorCode.LONE_SURROGATE, detail="a string holds half of a surrogate pair")
    if ErrorCode.DUPLICATE_KEY in found:
        return Refusal(ErrorCode.DUPLICATE_KEY, detail="an object has two members of one name")
    return value


def _is_deeper(body: bytes, max_depth: int) -> bool:
    """Count brackets outside strings; a closing bracket that closes nothing is not counted.

    A string ends at the next quotation mark without a backslash, or at the end of the body. This rule holds for any
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
    """Look at the escapes of valid JSON text; UTF-8 has no other way to write a surrogate."""
    if _SURROGATE_ESCAPE.search(text) is None:
        return False
    return any(escape["lone"] for escape in _ESCAPE.finditer(text))
