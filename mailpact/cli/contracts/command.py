"""`mailpact contracts`: the group of the contract tool's commands."""

import typer

from mailpact.cli.contracts import linting, listing, publishing, site

app = typer.Typer(name="contracts", help="Read, check and publish contracts.", no_args_is_help=True)
app.command("lint")(linting.lint_contracts)
app.command("list")(listing.list_contracts)
app.command("publish")(publishing.publish)
app.command("docs")(site.docs)
