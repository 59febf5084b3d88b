"""A developer's command: `python -m tests.servers fetch` before going offline, `… up` to try things.

MAILPACT_TEST_DEBIAN chooses the lane (`lanes`).
"""

import contextlib
import signal
import time
from typing import Annotated

import typer

from tests.servers.database import Databases, DatabaseServer
from tests.servers.where import NotAvailable, Servers, UnknownLane

EVERYTHING = [
    "rabbitmq",
    "mariadb",
    "chromium",
    "smtp_sink",
    "swaks",
    "postfix",
    "nginx",
    "promtool",
    "mariadb_dump",
]
Names = Annotated[list[str], typer.Argument(help="The servers' and programs' names.")]
EXIT_USAGE, EXIT_UNAVAILABLE = 2, 3

command = typer.Typer(help="Real servers for the tests, without root and without installing anything.")


def _say(text: str) -> None:
    typer.echo(text, err=True)


@command.command()
def fetch(names: Names = EVERYTHING) -> None:
    """Download what the tests need and is not here yet (10 s once); exit 3 when some of it cannot be had."""
    started = time.monotonic()
    servers = Servers(_say)
    try:
        missing = servers.locate(set(names))
    finally:
        servers.close()
    for thing in missing:
        _say(str(thing))
    if missing:
        raise typer.Exit(EXIT_UNAVAILABLE)
    if time.monotonic() - started > 1:
        _say(f"all real servers are here ({time.monotonic() - started:.0f} s)")


@command.command()
def up() -> None:
    """Start RabbitMQ and MariaDB, print their URLs, and end them at Ctrl-C."""
    servers = Servers(_say)
    try:
        broker, server = servers.rabbitmq, servers.mariadb
        if isinstance(broker, NotAvailable) or isinstance(server, NotAvailable):
            _say("\n".join(sorted(servers.missing)))
            raise typer.Exit(EXIT_UNAVAILABLE)
        databases: Databases = server.databases if isinstance(server, DatabaseServer) else server
        vhost = database = servers.run.path.name
        broker.add_vhost(vhost)
        databases.create(database)
        typer.echo(f"MAILPACT_AMQP_URL={broker.url(vhost)}\nMAILPACT_DATABASE_URL={databases.url(database)}")
        _say(f"{' and '.join(sorted(servers.used))}; end them with Ctrl-C")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    finally:
        servers.close()


if __name__ == "__main__":
    try:
        command()
    except UnknownLane as error:
        _say(str(error))
        raise SystemExit(EXIT_USAGE) from error
