"""Turns the fields of a log record into the JSON text of `log/1`, without a reader's address in it.

A record must never fail the program that writes it. A value that JSON cannot carry is written as its `repr`; a record
that is too long for the contract loses its further members, and says so in the member `cut`.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

MAX_BYTES: Final = 65_536
"""`max_body_bytes` of log/1."""
MAX_EVENT_CHARACTERS: Final = 1_000
MAX_DEPTH: Final = 16
"""Deeper values are written as their `repr`; log/1 allows 32 levels."""

HIDDEN: Final = "(address)"
# The password of a URL is already three asterisks, and such a URL names a server and no reader.
_WORD: Final = r"\w.!#$%&'*+=?^`{|}~-"
_ADDRESS: Final = re.compile(
    rf"(?:(?<![{_WORD}])(?!\*{{3}}@)[{_WORD}]+|\"[^\"@]*\")@(?:(?:[\w-]+\.)*[^\W\d_][\w-]*|\[[^\]]*\])"
)

_encode = json.JSONEncoder(allow_nan=False, check_circular=False).encode


def cleaned(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields with addresses hidden, and with values that JSON can carry."""
    return {str(name): _cleaned(value, MAX_DEPTH) for name, value in fields.items()}


def json_text(fields: Mapping[str, object]) -> str:
    """Return cleaned fields as JSON in ASCII, no longer than a record of log/1 may be."""
    text = _encode(fields)
    if len(text) <= MAX_BYTES:
        return text
    kept = {name: fields.get(name) for name in ("timestamp", "level", "service")}
    event = str(fields.get("event"))[:MAX_EVENT_CHARACTERS]
    return _encode({**kept, "event": event, "cut": True})


def _cleaned(value: object, depth: int) -> object:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if abs(value) < 2**63 else hex(value)
    if value is None:
        return None
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)  # NaN and infinity are no JSON
    if depth and isinstance(value, Mapping):
        return {_text(str(name)): _cleaned(inner, depth - 1) for name, inner in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(inner, depth - 1) for inner in value]
    return _text(repr(value))


def _text(value: str) -> str:
    if "@" in value:
        value = _ADDRESS.sub(HIDDEN, value)
    # A lone surrogate is refused by the contract.
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()
