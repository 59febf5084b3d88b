"""What the tests of the contracts share: the checkout's files and the vectors, expanded."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Contract

CONTRACTS = Path(__file__).parents[3] / "contracts"


@dataclass(frozen=True)
class Vector:
    """One file; `body` is what its body members stand for, `document` all that it says, `text_pieces` joined."""

    name: str
    rule: str
    document: dict[str, Any]
    body: bytes


def _joined(pieces: list[dict[str, Any]]) -> str:
    return "".join(piece["text"] * piece["times"] for piece in pieces)


def _vector(path: Path) -> Vector:
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
    return Vector(f"{path.parent.name}/{path.stem}", document["rule"], document, sent)


def _vectors() -> Iterator[Vector]:
    for path in sorted((CONTRACTS / "email/1/vectors").rglob("*.json")):
        yield _vector(path)


VECTORS = tuple(_vectors())
VALID = [vector for vector in VECTORS if "mail" in vector.document]
INVALID_BODIES = [
    vector
    for vector in VECTORS
    if "error" in vector.document and not vector.document["error"]["code"].startswith("unsupported_")
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, vectors in {"vector": VECTORS, "valid": VALID, "invalid_body": INVALID_BODIES}.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, vectors, ids=[vector.name for vector in vectors])


@pytest.fixture
def published() -> Path:
    return CONTRACTS


@pytest.fixture
def email_1() -> Contract:
    return catalogue.load().contract("email/1")


@pytest.fixture
def vectors() -> tuple[Vector, ...]:
    return VECTORS
