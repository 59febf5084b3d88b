"""What is asked of every engine: each body that is JSON by the contract's rules, against both schemas of its contract.

Bodies that break the rules before any schema is asked (a byte order mark, NaN, a name twice, half a surrogate pair, too
deep, too big) are no business of a schema engine: they are left out, and counted. Bodies are handed over as their own
text, so that each language's own parser reads them.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, parse
from mailpact.contracts.validate import Validator
from mailpact_contract_tool.publish.described import describe

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

    name: str
    schema: str
    instances: tuple[Instance, ...]

    @property
    def line(self) -> str:
        """Return the line that a program reads."""
        return json.dumps({"schema": self.schema, "instances": [each.text for each in self.instances]})


def questions() -> tuple[Question, ...]:
    """Return a question for each schema in force, each again as the bundle that is published, and each old schema.

    Old ones are only compiled.
    """
    contracts, bundles = _document("index.json")["contracts"], _bundles()
    current = [
        _question(entry, side, entry[member], (CONTRACTS / entry[member]).read_text(encoding="utf-8"))
        for entry in contracts
        for side, member in SIDES.items()
    ]
    bundled = [
        _question(entry, side, f"{name} {side} bundle", json.dumps(bundles[name][side]))
        for entry in contracts
        for side in SIDES
        if (name := f"{entry['name']}/{entry['major']}")
    ]
    old = [
        Question(str(path.relative_to(CONTRACTS)), path.read_text(encoding="utf-8"), ())
        for path in sorted(CONTRACTS.rglob("history/*/*schema.json"))
    ]
    return (*current, *bundled, *old)


def _bundles() -> dict[str, Mapping[str, JsonObject]]:
    known = catalogue.read(CONTRACTS)
    files = {
        str(path.relative_to(CONTRACTS)): path.read_bytes() for path in CONTRACTS.rglob("*") if path.is_file()
    }
    return {contract.name: contract.schemas for contract in describe(known, files)}


def left_out() -> int:
    """Count the vectors that no schema is asked about."""
    return sum(
        isinstance(_parsed(body, entry), Refusal)
        for entry in _document("index.json")["contracts"]
        for _path, _vector, body in _vectors(entry)
    )


def _question(entry: dict[str, Any], side: str, name: str, text: str) -> Question:
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
    return Question(name, text, tuple(instances))


def _expected(
    vector: dict[str, Any], group: str, side: str, check: Callable[[], Refusal | None]
) -> Fault | None:
    """Take what the vector says of this schema; where it says nothing of it, our own validator's verdict.

    That alone judges what is in `refused`: its error comes from rules that the contract's own schema does not hold.
    """
    stated = vector.get("writer_error" if side == "writer" else "error", {})
    if stated.get("code") == ErrorCode.SCHEMA and group != "refused":
        return Fault(stated["pointer"], stated["keyword"])
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
