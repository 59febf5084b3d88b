"""`mailpact template`: the group of the commands about templates."""

import typer

from mailpact_cli.template.render import render_template

app = typer.Typer(name="template", help="Show the mail that a template makes.", no_args_is_help=True)
app.callback()(lambda: None)  # a group of one command is still a group
app.command("render")(render_template)
