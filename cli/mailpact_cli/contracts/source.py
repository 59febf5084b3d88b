"""Which contracts a command is about: those that are installed, or a folder that the person names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact.contracts.errors import UnusableSchemaError
from mailpact.contracts.parse import JsonObject
from mailpact.contracts.validate import Validator
from mailpact_cli import options


def folder_option() -> Any:
    """Declare `--contracts`."""
    return options.path("--contracts", "The contracts in this folder; without it, those that are installed.")


def read_contracts(folder: Path | None) -> Catalogue:
    """Read the contracts that were asked for; raises PublishedFileError."""
    return catalogue.load() if folder is None else catalogue.read(folder)


def contracts_folder(folder: Path | None) -> Path:
    """Return the folder that was asked for, without reading it."""
    return catalogue.installed_folder() if folder is None else folder


def validator(published: Catalogue, contract: Contract, *, writer: bool = False) -> Validator:
    """Compile what readers accept, or what writers must obey; raises UnusableSchemaError.

    A folder may be anybody's: a pattern that explodes or a definition without end would never come to an answer.
    """
    schema, name = (
        (contract.writer_schema, "writer.schema.json") if writer else (contract.schema, "schema.json")
    )
    file = f"{contract.name}/{contract.major}/{name}"
    try:
        compiled = Validator(schema)
    except ValueError as error:
        fault = f"is no JSON Schema: {str(error).splitlines()[0]}"
        raise UnusableSchemaError(published.root, file, fault) from error
    endless = next(_endless(schema), None)
    if endless is not None:
        raise UnusableSchemaError(published.root, file, endless)
    return compiled


def _endless(schema: JsonObject) -> Iterator[str]:
    """Say what could take for ever, and where; the schema is one of 2020-12."""
    from mailpact_contract_tool.lint.rules import Rule
    from mailpact_contract_tool.lint.shape_rules import endless_faults, reference_faults
    from mailpact_contract_tool.lint.subschemas import places
    from mailpact_contract_tool.lint.text_rules import pattern_faults

    for place in places(schema):
        for fault in (*pattern_faults(place, schema), *reference_faults(place, schema)):
            if fault.rule not in (Rule.PATTERN_NOT_ANCHORED, Rule.PATTERN_LETS_NEWLINE_THROUGH):
                yield f"{fault.pointer}: {fault.sentence}"
    for fault in endless_faults(schema):
        yield f"{fault.pointer}: {fault.sentence}"
