"""`mailpact topology`: the group of the commands about exchanges and queues."""

import typer

from mailpact_cli.topology.apply import apply_topology
from mailpact_cli.topology.export import export_topology
from mailpact_cli.topology.show import show_topology

app = typer.Typer(
    name="topology", help="Show, declare and export exchanges and queues.", no_args_is_help=True
)
app.command("show")(show_topology)
app.command("apply")(apply_topology)
app.command("export")(export_topology)
