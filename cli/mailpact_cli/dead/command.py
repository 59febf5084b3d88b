"""`mailpact dead`: the group of the commands about dead letters."""

import typer

from mailpact_cli.dead.drop import drop_letters
from mailpact_cli.dead.list import list_letters
from mailpact_cli.dead.replay import replay_letters
from mailpact_cli.dead.show import show_letters

app = typer.Typer(name="dead", help="List, show, replay and delete dead letters.", no_args_is_help=True)
app.command("list")(list_letters)
app.command("show")(show_letters)
app.command("replay")(replay_letters)
app.command("drop")(drop_letters)
