"""`mailpact contracts show`: one contract at a glance."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact_cli import options
from mailpact_cli.contracts.result import report
from mailpact_cli.contracts.source import find_contract, folder_option, limits_of, read_contracts, validator


def show(
    name: Annotated[
        str, typer.Argument(metavar="CONTRACT", help="The name of the contract, such as email/1.")
    ],
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Show one contract: exchange and AMQP properties, limits, members and an example."""
    catalogue = read_contracts(contracts)
    contract = find_contract(catalogue, name)
    validator(catalogue, contract)  # the following code needs a valid schema
    shown = _shown(catalogue, contract)
    report(shown, lambda console: _print(shown, console), as_json=as_json)


def _shown(catalogue: Catalogue, contract: Contract) -> dict[str, Any]:
    from mailpact_contract_tool.site.members import members

    words = ("type", "required", "limits", "description")
    examples = contract.schema.get("examples")
    return {
        "contract": f"{contract.name}/{contract.major}",
        "version": contract.version,
        "status": contract.status,
        "description": contract.schema.get("description", ""),
        "part_of": contract.part_of,
        "travels": _travels(contract),
        "limits": asdict(limits_of(catalogue, contract)),
        "members": [
            {"name": member.path, **{word: getattr(member, word) for word in words}}
            for member in members(contract.schema)
        ],
        "example": examples[0] if isinstance(examples, list) and examples else None,
    }


def _travels(contract: Contract) -> dict[str, Any] | None:
    binding = contract.binding
    if binding is None:
        return None
    return {
        "exchange": binding.exchange,
        "routing_key": binding.routing_key,
        "routing_keys": list(binding.routing_keys),
        "properties": [
            {"name": row.name, "writers": row.writers, "value": row.value, "meaning": row.meaning}
            for row in binding.properties
        ],
    }


def _print(shown: dict[str, Any], console: Console) -> None:
    console.print(Text.assemble((shown["contract"], "bold"), f" {shown['version']}, {shown['status']}"))
    console.print(shown["description"])
    travels, limits = shown["travels"], shown["limits"]
    if travels is None:
        console.print(f"\nTravels inside a message of {shown['part_of']}.")
    else:
        keys = " or ".join(_key(key) for key in travels["routing_keys"])
        console.print(
            f"\nPublish to exchange {travels['exchange']} with routing key {_key(travels['routing_key'])}."
        )
        console.print(f"Queues are bound with {keys}.")
    console.print(
        f"At most {limits['max_body_bytes']:,} bytes, nested at most {limits['max_depth']} deep; "
        f"headers at most {limits['max_headers_bytes']:,} bytes."
    )
    if travels is not None:
        _table(console, travels["properties"], ("name", "writers", "value", "meaning"), first="AMQP property")
    _table(console, shown["members"], ("name", "type", "required", "limits", "description"), first="member")
    if shown["example"] is not None:
        console.print(json.dumps(shown["example"], indent=2, ensure_ascii=False))


def _key(key: str) -> str:
    return key or '""'


def _table(console: Console, rows: list[dict[str, Any]], columns: tuple[str, ...], *, first: str) -> None:
    table = Table(first, *columns[1:], box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console.print(table, soft_wrap=False)


def _cell(value: object) -> str:
    match value:
        case True:
            return "yes"
        case False | None:
            return ""
        case _:
            return str(value)
