"""`mailpact topology`: the group of the commands about exchanges and queues."""

import typer

from mailpact.cli.topology import applying, exporting, showing

app = typer.Typer(
    name="topology", help="Show, declare and export the exchanges and queues.", no_args_is_help=True
)
app.command("show")(showing.show_topology)
app.command("apply")(applying.apply_topology)
app.command("export")(exporting.export_topology)
