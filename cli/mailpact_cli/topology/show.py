"""`mailpact topology show`: which exchanges, queues and bindings there are, and what each is for."""

import json
from pathlib import Path
from typing import Annotated

from rich import box
from rich.console import Console
from rich.table import Table

from mailpact.contracts.catalogue import Topology
from mailpact.contracts.parse import JsonObject
from mailpact_cli import options
from mailpact_cli.contracts.source import folder_option, read_contracts


def show_topology(
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Show the exchanges, queues and bindings."""
    topology = read_contracts(contracts).topology
    if as_json:
        print(json.dumps(_document(topology)))  # noqa: T201  # the result
        return
    console = Console()
    for table in (_exchanges(topology), _queues(topology), _bindings(topology)):
        console.print(table)


def _document(topology: Topology) -> JsonObject:
    return {
        "exchanges": [
            {"name": exchange.name, "type": exchange.type, "durable": exchange.durable}
            for exchange in topology.exchanges
        ],
        "queues": [
            {"name": queue.name, "durable": queue.durable, "arguments": dict(queue.arguments)}
            for queue in topology.queues
        ],
        "bindings": [
            {"exchange": route.exchange, "queue": route.queue, "routing_key": route.routing_key}
            for route in topology.bindings
        ],
    }


def _exchanges(topology: Topology) -> Table:
    table = Table("exchange", "type", "declared by", box=box.SIMPLE_HEAD)
    for exchange in topology.exchanges:
        table.add_row(exchange.name, exchange.type, ", ".join(exchange.declared_by))
    return table


def _queues(topology: Topology) -> Table:
    table = Table("queue", "arguments", "declared by", box=box.SIMPLE_HEAD)
    for queue in topology.queues:
        arguments = "\n".join(f"{name}={value}" for name, value in queue.arguments.items())
        table.add_row(queue.name, arguments, ", ".join(queue.declared_by))
    return table


def _bindings(topology: Topology) -> Table:
    table = Table("from exchange", "routing key", "to queue", box=box.SIMPLE_HEAD)
    for route in topology.bindings:
        table.add_row(route.exchange, repr(route.routing_key), route.queue)
    return table
