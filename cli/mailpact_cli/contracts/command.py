"""`mailpact contracts`: the group of the contract tool's commands."""

import typer

from mailpact_cli.contracts.check import check_contracts
from mailpact_cli.contracts.diff import diff_contracts
from mailpact_cli.contracts.docs import docs
from mailpact_cli.contracts.lint import lint_contracts
from mailpact_cli.contracts.list import list_contracts
from mailpact_cli.contracts.new import new_contract
from mailpact_cli.contracts.publish import publish
from mailpact_cli.contracts.release import release_contract
from mailpact_cli.contracts.show import show
from mailpact_cli.contracts.validate import validate

app = typer.Typer(name="contracts", help="Read, check and publish contracts.", no_args_is_help=True)
app.command("check")(check_contracts)
app.command("diff")(diff_contracts)
app.command("lint")(lint_contracts)
app.command("list")(list_contracts)
app.command("new")(new_contract)
app.command("publish")(publish)
app.command("docs")(docs)
app.command("show")(show)
app.command("validate")(validate)
app.command("release")(release_contract)
