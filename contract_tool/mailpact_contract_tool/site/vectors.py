"""Reads the parts of a contract's vectors that the site shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailpact.contracts.errors import PublishedFileError
from mailpact.contracts.parse import parse
from mailpact_contract_tool.publish.described import Described

_MAX_BYTES, _MAX_DEPTH = 4 * 1024 * 1024, 64


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector. `code` is empty if the message is accepted; `pointer` is None if the vector has no pointer."""

    folder: str
    name: str
    rule: str
    remark: str
    code: str
    pointer: str | None
    keyword: str


def vectors(contract: Described) -> Iterator[Vector]:
    """Return a contract's vectors, sorted by their paths.

    Raises PublishedFileError if a vector is not a JSON object.
    """
    for path in sorted(path for path in contract.files if path.startswith("vectors/")):
        document: Any = parse(contract.files[path], max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
        if not isinstance(document, dict):
            raise PublishedFileError(Path(contract.name, path), "is no JSON object")
        yield _vector(path, document)


def _vector(path: str, document: dict[str, Any]) -> Vector:
    _, folder, name = path.removesuffix(".json").split("/", 2)
    error = document.get("error", {})
    remarks = [document.get("description", ""), document.get("meaning", "")]
    remarks += ["The writer schema refuses it."] if "writer_error" in document else []
    return Vector(
        folder=folder,
        name=name,
        rule=str(document.get("rule", "")),
        remark=" ".join(str(remark) for remark in remarks),
        code=str(error.get("code", "")),
        pointer=error.get("pointer"),
        keyword=str(error.get("keyword", "")),
    )
