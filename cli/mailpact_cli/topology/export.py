"""`mailpact topology export`: definitions that RabbitMQ imports."""

import json
from pathlib import Path
from typing import Annotated

from mailpact_cli import options
from mailpact_cli.contracts.source import folder_option, read_contracts


def export_topology(
    vhost: Annotated[
        str, options.text("--vhost", "NAME", "The virtual host of all exchanges and queues.")
    ] = "/",
    contracts: Annotated[Path | None, folder_option()] = None,
) -> None:
    """Print RabbitMQ definitions: exchanges, queues, bindings, and users with only the permissions that they need."""
    from mailpact_contract_tool.publish.definitions import definitions

    print(json.dumps(definitions(read_contracts(contracts).topology, vhost=vhost), indent=2))  # noqa: T201  # the result
