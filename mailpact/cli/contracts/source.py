"""Which contracts a command is about: those that are installed, or a folder that the person names."""

from pathlib import Path
from typing import Any

from mailpact.cli import options
from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact.contracts.errors import PublishedFileError
from mailpact.contracts.validate import Validator


def folder_option() -> Any:
    """Declare `--contracts`."""
    return options.path("--contracts", "The contracts in this folder; without it, those that are installed.")


def read_contracts(folder: Path | None) -> Catalogue:
    """Read the contracts that were asked for; raises PublishedFileError."""
    return catalogue.load() if folder is None else catalogue.read(folder)


def contracts_folder(folder: Path | None) -> Path:
    """Give the folder that was asked for, without reading it."""
    return catalogue.installed_folder() if folder is None else folder


def validator(published: Catalogue, contract: Contract, *, writer: bool = False) -> Validator:
    """Compile what readers accept, or what writers must obey; raises PublishedFileError if it is no schema."""
    schema, name = (
        (contract.writer_schema, "writer.schema.json") if writer else (contract.schema, "schema.json")
    )
    try:
        return Validator(schema)
    except ValueError as error:
        path = published.root / contract.name / str(contract.major) / name
        raise PublishedFileError(path, f"is no JSON Schema: {str(error).splitlines()[0]}") from error
