"""`mailpact contracts release`: publishes a contract's changes as its next version."""

from pathlib import Path
from typing import Annotated

import typer

from mailpact_cli.contracts.source import contracts_folder, folder_option
from mailpact_cli.serving import say


def release_contract(
    name: Annotated[str, typer.Argument(metavar="NAME", help='The contract, such as "email/1".')],
    contracts: Annotated[Path | None, folder_option()] = None,
) -> None:
    """Publish the changes of a contract as its next minor version; refuse changes that break programs."""
    from mailpact_contract_tool.folder.files import read_files
    from mailpact_contract_tool.folder.writing import write_files
    from mailpact_contract_tool.release.plan import ReleaseInterrupted, ReleaseRefused, plan_release

    root = contracts_folder(contracts)
    try:
        release = plan_release(read_files(root), name)
        write_files(root, release.files)
    except ReleaseRefused as error:
        for reason in error.reasons:
            say(reason)
        raise
    except OSError as error:
        raise ReleaseInterrupted(
            f"{error.filename}: {error.strerror}; correct this and run the same command again"
        ) from error
    for path, _ in release.files:
        print(f"wrote  {path}")  # noqa: T201  # the result
    print(f"released {release.contract} as version {release.version}")  # noqa: T201  # the result
