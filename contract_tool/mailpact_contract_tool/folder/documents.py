"""Reads the JSON files of a folder of contracts strictly, and writes documents as such files.

Files come in as bytes; None stands for a file that could not be read. A file that is larger than 1 MiB or nested deeper
than 64 levels is never parsed, so that time and memory stay bounded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from mailpact.contracts.catalogue import parse_file
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, JsonValue

Files: TypeAlias = Mapping[str, bytes | None]
"""The files by their paths below the folder, with `/`."""


class Trouble(Enum):
    """The reason why a file holds no JSON object."""

    MISSING = auto()
    TOO_LARGE = auto()
    NOT_JSON = auto()
    NO_OBJECT = auto()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that holds no JSON object; `sentence` gives the reason without the name of the file."""

    trouble: Trouble
    sentence: str


def read_object(files: Files, path: str) -> JsonObject | Unreadable:
    """Return the JSON object that a file holds, or the reason why there is none."""
    body = files.get(path)
    if body is None:
        return Unreadable(Trouble.MISSING, "cannot be read" if path in files else "is missing")
    value = parse_file(body)
    if isinstance(value, dict):
        return value
    if not isinstance(value, Refusal):
        return Unreadable(Trouble.NO_OBJECT, "holds no JSON object")
    is_large = value.code is ErrorCode.TOO_LARGE
    return Unreadable(Trouble.TOO_LARGE if is_large else Trouble.NOT_JSON, value.detail)


def json_bytes(document: JsonValue) -> bytes:
    """Write a document as people and `diff` like it: two spaces, UTF-8, a final newline."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def object_at(holder: JsonObject, name: str) -> JsonObject:
    """Return the object that a member holds; an empty object if the member is missing or holds something else."""
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def array_at(holder: JsonObject, name: str) -> list[JsonValue]:
    """Return the array that a member holds; an empty array if the member is missing or holds something else."""
    value = holder.get(name)
    return value if isinstance(value, list) else []


def unescaped(step: str) -> str:
    """Return one step of a JSON pointer (RFC 6901) without its escapes."""
    return step.replace("~1", "/").replace("~0", "~")
