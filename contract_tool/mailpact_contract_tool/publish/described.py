"""Gathers what the published files say about each contract; all exports for other teams are made from these values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from mailpact.contracts.catalogue import Catalogue
from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.publish.bundle import Template, bundled

SIDES = ("writer", "reader")


@dataclass(frozen=True, slots=True)
class Described:
    """One contract with its self-contained schemas for writers and readers; a template has no `binding`.

    `binding` is the content of binding.json, which has more texts for people than the code needs. `files` are the
    contract's published files by their paths below its folder.
    """

    name: str
    version: str
    status: str
    schemas: Mapping[str, JsonObject]
    binding: JsonObject | None
    files: Mapping[str, bytes]

    @property
    def wire(self) -> dict[str, Any]:
        """Return the binding of a contract that has its own messages; a template has none."""
        return cast(dict[str, Any], self.binding)

    @property
    def is_mandatory(self) -> bool:
        """Return whether the broker must return a message that no queue takes; true by default."""
        return bool(self.wire["writers"].get("mandatory", True))


def describe(catalogue: Catalogue, published: Mapping[str, bytes]) -> tuple[Described, ...]:
    """Return every contract of `catalogue`, in its order; raise UnresolvedReference."""
    return tuple(_described(catalogue, published, name) for name in catalogue.names)


def _described(catalogue: Catalogue, published: Mapping[str, bytes], name: str) -> Described:
    contract, folder = catalogue.contract(name), f"{name}/"
    files = {path.removeprefix(folder): data for path, data in published.items() if path.startswith(folder)}
    return Described(
        name=name,
        version=contract.version,
        status=contract.status,
        schemas={side: _bundled(catalogue, name, side) for side in SIDES},
        binding=json.loads(files["binding.json"]) if "binding.json" in files else None,
        files=files,
    )


def _bundled(catalogue: Catalogue, name: str, side: str) -> JsonObject:
    schemas = {
        each: contract.writer_schema if side == "writer" else contract.schema
        for each, contract in catalogue.contracts.items()
    }
    both = [schema for each in catalogue.contracts.values() for schema in (each.schema, each.writer_schema)]
    library = {str(schema["$id"]): schema for schema in both if "$id" in schema}
    templates = tuple(
        Template(contract.name.removeprefix("template/"), contract.major, schemas[each])
        for each, contract in catalogue.contracts.items()
        if contract.name.startswith("template/")
    )
    return bundled(schemas[name], library, templates)
