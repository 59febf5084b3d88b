"""`mailpact contracts list`: which contracts there are."""

import json
from pathlib import Path
from typing import Annotated

from rich import box
from rich.console import Console
from rich.table import Table

from mailpact.cli import options
from mailpact.cli.contracts.source import folder_option, read_contracts
from mailpact.contracts.catalogue import Catalogue


def list_contracts(
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """List the contracts with their versions and exchanges."""
    catalogue = read_contracts(contracts)
    if as_json:
        print(json.dumps({"contracts": _rows(catalogue)}))  # noqa: T201  # the result
    else:
        Console().print(_table(catalogue))


def _rows(catalogue: Catalogue) -> list[dict[str, str]]:
    return [
        {"contract": name, "version": contract.version, "exchange": contract.binding.exchange}
        for name, contract in catalogue.contracts.items()
    ]


def _table(catalogue: Catalogue) -> Table:
    table = Table("contract", "version", "exchange", box=box.SIMPLE_HEAD)
    for row in _rows(catalogue):
        table.add_row(*row.values())
    return table
