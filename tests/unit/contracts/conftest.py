"""What the tests of the contracts share: the checkout's files, and the vectors of all contracts, expanded."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import JsonValue, parse
from mailpact.contracts.validate import Validator
from mailpact_cli.contracts.source import limits_of

CONTRACTS = Path(__file__).parents[3] / "contracts"
NAMES = [
    f"{row['name']}/{row['major']}" for row in json.loads((CONTRACTS / "index.json").read_text())["contracts"]
]


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector's file; `body` is what its members describe, `document` the whole file with `text_pieces` joined."""

    contract: str
    kind: str
    name: str
    rule: str
    document: dict[str, Any]
    body: bytes


def _joined(pieces: list[dict[str, Any]]) -> str:
    return "".join(piece["text"] * piece["times"] for piece in pieces)


def _vector(contract: str, path: Path) -> Vector:
    document = json.loads(path.read_text(encoding="utf-8"))
    match document:
        case {"body": str(body)}:
            sent = body.encode()
        case {"body_pieces": list(pieces)}:
            sent = _joined(pieces).encode()
        case {"body_base64": str(encoded)}:
            sent = base64.b64decode(encoded, validate=True)
    if "text_pieces" in document.get("mail", {}):
        document["mail"]["text"] = _joined(document["mail"].pop("text_pieces"))
    kind = path.parent.name
    return Vector(contract, kind, f"{contract}/{kind}/{path.stem}", document["rule"], document, sent)


def _vectors() -> Iterator[Vector]:
    for contract in NAMES:
        for path in sorted((CONTRACTS / contract / "vectors").rglob("*.json")):
            yield _vector(contract, path)


VECTORS = tuple(_vectors())
VALID = [vector for vector in VECTORS if vector.kind == "valid"]
SELECTIONS = {
    "refused": [vector for vector in VECTORS if vector.kind == "refused"],
}
# One test for all vectors of a contract: 4,500 tests of a millisecond cost pytest more time than the vectors.
GROUPS = {
    "all_vectors": VECTORS,
    "all_valid": VALID,
    "all_refused": SELECTIONS["refused"],
    "all_routed": [vector for vector in VECTORS if "routing_key" in vector.document],
    "all_invalid_bodies": [
        vector
        for vector in VECTORS
        if vector.kind == "invalid" and not vector.document["error"]["code"].startswith("unsupported_")
    ],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, vectors in SELECTIONS.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, vectors, ids=[vector.name for vector in vectors])
    for fixture, vectors in GROUPS.items():
        if fixture in metafunc.fixturenames:
            groups = {name: [each for each in vectors if each.contract == name] for name in NAMES}
            named = {name: group for name, group in groups.items() if group}
            metafunc.parametrize(fixture, named.values(), ids=named.keys())
    if "contract_name" in metafunc.fixturenames:
        metafunc.parametrize("contract_name", NAMES)


@cache
def _validator(name: str, side: str) -> Validator:
    return Validator(getattr(catalogue.load().contract(name), side))


@cache
def _value(vector: Vector) -> JsonValue | Refusal:
    published = catalogue.load()
    limits = limits_of(published, published.contract(vector.contract))
    return parse(vector.body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)


@pytest.fixture
def parsed() -> Callable[[Vector], JsonValue | Refusal]:
    """Return a function that parses a vector's body, or says why the body is refused before a schema is asked."""
    return _value


@pytest.fixture
def judged() -> Callable[..., Refusal | None]:
    """Return a function that says what is wrong with a vector's body, by `schema` or `writer_schema`."""

    def judge(vector: Vector, side: str = "schema") -> Refusal | None:
        value = _value(vector)
        return value if isinstance(value, Refusal) else _validator(vector.contract, side).check(value)

    return judge


@pytest.fixture
def published() -> Path:
    return CONTRACTS


@pytest.fixture
def contracts() -> Catalogue:
    return catalogue.load()


@pytest.fixture
def email_1() -> Contract:
    return catalogue.load().contract("email/1")


@pytest.fixture
def vectors() -> tuple[Vector, ...]:
    return VECTORS
