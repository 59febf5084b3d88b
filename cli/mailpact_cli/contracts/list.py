"""`mailpact contracts list`: which contracts there are."""

import json
from pathlib import Path
from typing import Annotated

from rich import box
from rich.console import Console
from rich.table import Table

from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact_cli import options
from mailpact_cli.contracts.source import folder_option, read_contracts


def list_contracts(
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """List the contracts with their versions, status and exchanges; a template's data travel inside email/2."""
    catalogue = read_contracts(contracts)
    if as_json:
        print(json.dumps({"contracts": _rows(catalogue)}))  # noqa: T201  # the result
    else:
        Console().print(_table(catalogue))


def _rows(catalogue: Catalogue) -> list[dict[str, str]]:
    return [_row(name, contract) for name, contract in catalogue.contracts.items()]


def _row(name: str, contract: Contract) -> dict[str, str]:
    exchange = contract.binding.exchange if contract.binding else ""
    return {"contract": name, "version": contract.version, "status": contract.status, "exchange": exchange}


def _table(catalogue: Catalogue) -> Table:
    table = Table("contract", "version", "status", "exchange", box=box.SIMPLE_HEAD)
    for row in _rows(catalogue):
        table.add_row(*row.values())
    return table
