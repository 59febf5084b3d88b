"""What is asked of every engine: each body that is JSON by the contract's rules, against both schemas of its contract.

Bodies that break the rules before any schema is asked (a byte order mark, NaN, a name twice, half a surrogate pair, too
deep, too big) are no business of a schema engine: they are left out, and counted. Bodies are handed over as their own
text, so that each language's own parser reads them.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator

CONTRACTS = Path(__file__).parents[2] / "contracts"
WITHOUT_BINDING = {"max_body_bytes": 2 * 1024 * 1024, "max_depth": 32}
SIDES = {"reader": "schema", "writer": "writer_schema"}


@dataclass(frozen=True, slots=True)
class Fault:
    """Where an instance breaks which keyword."""

    pointer: str
    keyword: str


@dataclass(frozen=True, slots=True)
class Instance:
    """One body; `expected` is None if the schema takes it."""

    vector: str
    text: str
    expected: Fault | None


@dataclass(frozen=True, slots=True)
class Question:
    """One schema, and what is to be held against it."""

    schema_file: str
    schema: str
    instances: tuple[Instance, ...]

    @property
    def line(self) -> str:
        """The line that a program reads."""
        return json.dumps({"schema": self.schema, "instances": [each.text for each in self.instances]})


def questions() -> tuple[Question, ...]:
    """Give a question for each schema that is in force, then one without instances for each old one."""
    index = _document("index.json")
    current = [
        _question(entry, side, schema) for entry in index["contracts"] for side, schema in SIDES.items()
    ]
    asked = {question.schema_file for question in current}
    old = [
        Question(name, path.read_text(encoding="utf-8"), ())
        for path in sorted(CONTRACTS.rglob("history/*/*schema.json"))
        if (name := str(path.relative_to(CONTRACTS))) not in asked
    ]
    return (*current, *old)


def left_out() -> int:
    """Count the vectors that no schema is asked about."""
    return sum(
        isinstance(_parsed(body, entry), Refusal)
        for entry in _document("index.json")["contracts"]
        for _path, _vector, body in _vectors(entry)
    )


def _question(entry: dict[str, Any], side: str, member: str) -> Question:
    text = (CONTRACTS / entry[member]).read_text(encoding="utf-8")
    validator = Validator(json.loads(text))
    instances = [
        Instance(
            str(path.relative_to(CONTRACTS)),
            body.decode(),
            _expected(vector, path.parent.name, side, partial(validator.check, value)),
        )
        for path, vector, body in _vectors(entry)
        if not isinstance(value := _parsed(body, entry), Refusal)
    ]
    return Question(entry[member], text, tuple(instances))


def _expected(
    vector: dict[str, Any], group: str, side: str, check: Callable[[], Refusal | None]
) -> Fault | None:
    """Take what the vector says of this schema; where it says nothing of it, our own validator's verdict.

    What is in `refused` obeys the reader's schema: its error comes from rules that no schema can hold.
    """
    stated = vector.get("writer_error" if side == "writer" else "error", {})
    if stated.get("code") == ErrorCode.SCHEMA and group != "refused":
        return Fault(stated["pointer"], stated["keyword"])
    if side == "reader" and group != "invalid":
        return None
    refusal = check()
    return refusal and Fault(refusal.pointer, refusal.keyword)


def _parsed(body: bytes, entry: dict[str, Any]) -> Any:
    limits = _document(entry["binding"])["limits"] if entry.get("binding") else WITHOUT_BINDING
    return parse(body, max_bytes=limits["max_body_bytes"], max_depth=limits["max_depth"])


def _vectors(entry: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any], bytes]]:
    for path in sorted((CONTRACTS / entry["vectors"]).rglob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        yield path, vector, _body(vector)


def _body(vector: dict[str, Any]) -> bytes:
    match vector:
        case {"body": str(body)}:
            return body.encode()
        case {"body_pieces": list(pieces)}:
            return "".join(piece["text"] * piece["times"] for piece in pieces).encode()
        case {"body_base64": str(encoded)}:
            return base64.b64decode(encoded, validate=True)
    raise ValueError(f"a vector without a body: {vector}")


def _document(name: str) -> Any:
    return json.loads((CONTRACTS / name).read_text(encoding="utf-8"))
