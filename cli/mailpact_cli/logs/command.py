"""`mailpact logs`: the log records of all services, in order; and the group of the commands about them."""

import typer

from mailpact_cli.logs.collect import collect_logs
from mailpact_cli.logs.show import show_logs

app = typer.Typer(
    name="logs",
    help="Show the log records of all services in order, and collect them.",
    invoke_without_command=True,
)
app.callback()(show_logs)
app.command("collect")(collect_logs)
