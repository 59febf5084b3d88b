"""The command's outermost edge: every error becomes one line that says what to do, and an exit code.

0  done        1  the thing that was checked is wrong
2  usage       3  a service cannot be reached, or a port is in use
"""

import sys
from collections.abc import Iterator

import typer
from typer.main import get_command

from mailpact.settings import read_url_files, refuse_unknown_variables
from mailpact_cli import capture, consumer, devbroker, producer, up
from mailpact_cli.commands import commands
from mailpact_cli.contracts.command import app as contracts
from mailpact_cli.dead.command import app as dead
from mailpact_cli.errors import exit_line
from mailpact_cli.send.command import send
from mailpact_cli.status import status
from mailpact_cli.template.command import app as template
from mailpact_cli.topology.command import app as topology

app = typer.Typer(
    help="Contract-first e-mail over a message queue.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    up.up,
    devbroker.devbroker,
    capture.capture,
    producer.producer,
    consumer.consumer,
    send,
    status,
):
    app.command()(command)
app.add_typer(contracts)
app.add_typer(topology)
app.add_typer(dead)
app.add_typer(template)


def main() -> None:
    """Run the command line that this process was started with, and exit."""
    try:
        known = set(environment_variables())
        read_url_files(known)
        refuse_unknown_variables(known)
        code = app(sys.argv[1:] or ["--help"], prog_name="mailpact", standalone_mode=False)
    except Exception as error:  # the outermost edge; what is not expected is raised again
        expected = exit_line(error)
        if expected is None:
            raise
        line, code = expected
        if line:  # a group without a command has shown its help
            print(f"mailpact: {line}", file=sys.stderr)  # noqa: T201  # the one line
    sys.exit(code or 0)


def environment_variables() -> Iterator[str]:
    """Return the names of all environment variables that any command reads."""
    for command in commands(get_command(app)).values():
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                yield parameter.envvar
