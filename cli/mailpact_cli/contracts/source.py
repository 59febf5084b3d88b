"""Finds the contracts that a command works on: the installed contracts, or a given folder."""

from pathlib import Path
from typing import Any

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Catalogue, Contract, Limits, contract_reader, read_file
from mailpact.contracts.errors import CatalogueError, ErrorCode
from mailpact.contracts.validate import Validator
from mailpact_cli import options


class UnusableSchemaError(CatalogueError):
    """A schema is not of draft 2020-12, or could take forever; the message names the file, the place and the fault."""

    def __init__(self, root: Path, file: str, fault: str) -> None:
        super().__init__(
            f"{root / file}: {fault}. `mailpact contracts lint --contracts {root}` lists all faults."
        )


def folder_option() -> Any:
    """Declare `--contracts`."""
    return options.path("--contracts", "The folder with the contracts; by default the installed contracts.")


def out_option() -> Any:
    """Declare `--out`."""
    return options.path(
        "--out", "The folder to write: a new or empty folder, or one that an earlier run wrote."
    )


def read_contracts(folder: Path | None) -> Catalogue:
    """Read the installed contracts, or the contracts of the given folder. Raises PublishedFileError."""
    return catalogue.load() if folder is None else catalogue.read(folder)


def find_contract(published: Catalogue, name: str) -> Contract:
    """Return a contract, also one that lies in the folder and was never released; raises as `Catalogue.contract`."""
    title, _, major = name.rpartition("/")
    folder = published.root / name
    if name in published.names or not major.isdecimal() or not (folder / "schema.json").is_file():
        return published.contract(name)
    row = {
        "name": title,
        "major": int(major),
        "version": f"{major}.0",
        "status": "draft",
        "schema": f"{name}/schema.json",
        "writer_schema": f"{name}/writer.schema.json",
        "binding": f"{name}/binding.json" if (folder / "binding.json").is_file() else None,
    }
    return contract_reader(published.root, row)()


def advice(published: Catalogue, code: ErrorCode) -> str:
    """Return what a publisher should do about an error code. Raises PublishedFileError."""

    def of_code(document: Any) -> str:
        return str({row["code"]: row["publisher"] for row in document["errors"]}[code])

    return read_file(published.root / "errors.json", of_code)


def limits_of(published: Catalogue, contract: Contract) -> Limits:
    """Return how large a body of the contract may be: for a part of a message, the limits of the whole message."""
    if contract.binding is None and contract.part_of is not None:
        return published.contract(contract.part_of).wire.limits
    return contract.wire.limits


def contracts_folder(folder: Path | None) -> Path:
    """Return the folder of the contracts without reading it."""
    return catalogue.installed_folder() if folder is None else folder


def validator(published: Catalogue, contract: Contract, *, writer: bool = False) -> Validator:
    """Compile the readers' schema, or the writers' schema; raises UnusableSchemaError.

    The folder may come from another team, and some patterns and endless definitions would make an engine run for
    ever.
    """
    from mailpact_contract_tool.lint.schemas import unusable_fault

    schema, name = (
        (contract.writer_schema, "writer.schema.json") if writer else (contract.schema, "schema.json")
    )
    file = f"{contract.name}/{contract.major}/{name}"
    try:
        compiled = Validator(schema)
    except ValueError as error:
        fault = f"is no JSON Schema: {str(error).splitlines()[0]}"
        raise UnusableSchemaError(published.root, file, fault) from error
    unusable = unusable_fault(schema)
    if unusable is not None:
        raise UnusableSchemaError(published.root, file, f"{unusable.pointer}: {unusable.sentence}")
    return compiled
