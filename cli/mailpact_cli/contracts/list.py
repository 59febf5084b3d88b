"""`mailpact contracts list`: which contracts there are."""

from pathlib import Path
from typing import Annotated

from rich import box
from rich.table import Table

from mailpact.contracts.catalogue import Contract
from mailpact_cli import options
from mailpact_cli.contracts.result import report
from mailpact_cli.contracts.source import folder_option, read_contracts


def list_contracts(
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """List the contracts with their versions, status and exchanges. Data of a template are part of email/2 messages."""
    rows = [_row(name, contract) for name, contract in read_contracts(contracts).contracts.items()]
    report({"contracts": rows}, lambda console: console.print(_table(rows), soft_wrap=False), as_json=as_json)


def _row(name: str, contract: Contract) -> dict[str, str]:
    exchange = contract.binding.exchange if contract.binding else ""
    return {"contract": name, "version": contract.version, "status": contract.status, "exchange": exchange}


def _table(rows: list[dict[str, str]]) -> Table:
    table = Table("contract", "version", "status", "exchange", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row.values())
    return table
