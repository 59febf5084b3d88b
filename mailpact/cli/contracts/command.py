"""`mailpact contracts`: the group of the contract tool's commands."""

import typer

from mailpact.cli.contracts import (
    checking,
    diffing,
    linting,
    listing,
    publishing,
    releasing,
    showing,
    site,
    validating,
)

app = typer.Typer(name="contracts", help="Read, check and publish contracts.", no_args_is_help=True)
app.command("check")(checking.check_contracts)
app.command("diff")(diffing.diff_contracts)
app.command("lint")(linting.lint_contracts)
app.command("list")(listing.list_contracts)
app.command("publish")(publishing.publish)
app.command("docs")(site.docs)
app.command("show")(showing.show)
app.command("validate")(validating.validate)
app.command("release")(releasing.release_contract)
