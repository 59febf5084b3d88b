"""The questions for every engine: each body that is JSON by the contract's rules, with both schemas of its contract.

Some bodies break rules that are checked before any schema (a byte order mark, NaN, a name twice, half a surrogate pair,
too deep, too big). A schema engine does not know these rules, so these bodies are left out, and counted. Each body is
passed on as its own text, so that each language's own parser reads it.
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
    """The place in an instance, and the keyword that fails there."""

    pointer: str
    keyword: str


@dataclass(frozen=True, slots=True)
class Instance:
    """One body; `expected` is None if the schema accepts the body."""

    vector: str
    text: str
    expected: Fault | None


@dataclass(frozen=True, slots=True)
class Question:
    """One schema, and the bodies to validate against it."""

    name: str
    schema: str
    instances: tuple[Instance, ...]

    @property
    def line(self) -> str:
        """Return the question as the line of JSON that a program reads."""
        return json.dumps({"schema": self.schema, "instances": [each.text for each in self.instances]})


def questions() -> tuple[Question, ...]:
    """Return a question for each schema in force, another for its published bundle, and one for each old schema.

    Old schemas are only compiled.
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
    """Return how many vectors are left out of the questions."""
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
    """Return the fault that the vector states for this schema; if the vector states none, our own validator's fault.

    For the group `refused` only our validator is asked: there the stated error comes from rules outside the schema.
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
