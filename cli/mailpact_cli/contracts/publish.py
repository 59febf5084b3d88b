"""`mailpact contracts publish`: exports a folder and a tarball for other teams."""

import hashlib
from pathlib import Path
from typing import Annotated

from mailpact_cli import options
from mailpact_cli.contracts.result import report
from mailpact_cli.contracts.source import folder_option, out_option, read_contracts


def publish(
    out: Annotated[Path, out_option()],
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Export contracts, schemas and types for other teams, also as a reproducible tarball."""
    from importlib.metadata import version

    from mailpact_contract_tool.publish.edition import edition, laid_out
    from mailpact_contract_tool.publish.writing import read_published, write_folder

    catalogue = read_contracts(contracts)
    whole = edition(read_published(catalogue.root), catalogue, release=version("mailpact"))
    files = laid_out(whole)
    write_folder(out, files)
    archive, digest = out / whole.archive_name, hashlib.sha256(files[whole.archive_name]).hexdigest()
    result = {"out": str(out), "archive": str(archive), "sha256": digest, "files": sorted(files)}
    text = f"{archive}\nSHA-256 {digest}\n{len(files)} files in {out}"
    report(result, lambda console: console.print(text), as_json=as_json)
