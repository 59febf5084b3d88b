"""`mailpact contracts new`: drafts a contract."""

from pathlib import Path
from typing import Annotated

import typer

from mailpact.contracts import catalogue
from mailpact_cli import options


def new_contract(
    name: Annotated[str, typer.Argument(metavar="NAME", help='The contract, such as "order/1".')],
    contracts: Annotated[
        Path, options.path("--contracts", "The folder of your contracts; it may be empty or missing.")
    ],
) -> None:
    """Draft a contract: both schemas, the binding, exchange and queue, and test vectors.

    Run the command again after you have changed the writers' schema. The command then derives the readers' schema and
    the missing vectors from the writers' schema.
    """
    from mailpact_contract_tool.folder.files import FolderError, read_files
    from mailpact_contract_tool.folder.writing import write_files
    from mailpact_contract_tool.release.draft import InvalidName, draft

    errors = (catalogue.installed_folder() / "errors.json").read_bytes()
    try:
        contracts.mkdir(parents=True, exist_ok=True)
        files = draft(read_files(contracts), name, errors)
        write_files(contracts, files)
    except InvalidName as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from error
    except OSError as error:
        raise FolderError(f"{error.filename} cannot be written: {error.strerror}") from error
    for path, _ in files:
        print(f"wrote  {path}")  # noqa: T201  # the result
