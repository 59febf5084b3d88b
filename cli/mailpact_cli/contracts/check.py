"""`mailpact contracts check`: whether programs of all published versions understand each other."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.text import Text

from mailpact.contracts.parse import JsonObject
from mailpact_cli import options
from mailpact_cli.contracts.diff import coloured, show_changes
from mailpact_cli.contracts.result import report
from mailpact_cli.contracts.source import contracts_folder, folder_option

if TYPE_CHECKING:
    from mailpact_contract_tool.check.versions import Checked, Waiver


def check_contracts(
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Check that programs of all published versions of each contract can exchange messages."""
    checked, overdue = _checked(contracts_folder(contracts))
    passes = not overdue and all(one.passes for one in checked)
    result = _json(checked, overdue, passes=passes)
    report(result, lambda console: _show(console, checked, overdue), as_json=as_json, passes=passes)


def _checked(folder: Path) -> "tuple[list[Checked], list[Waiver]]":
    from mailpact_contract_tool.check.reading import (
        UnreadableDocument,
        read_contracts,
        read_topology,
        read_waivers,
    )
    from mailpact_contract_tool.check.versions import check, expired
    from mailpact_contract_tool.compare.document import SchemaError
    from mailpact_contract_tool.folder.files import read_files

    files = read_files(folder)
    waivers = read_waivers(files)
    today = datetime.fromtimestamp(time.time(), UTC).date()
    try:
        found = check(read_contracts(files), read_topology(files), waivers, today)
    except SchemaError as error:
        raise UnreadableDocument(str(error)) from error
    return found, expired(waivers, today)


def _json(checked: "list[Checked]", overdue: "list[Waiver]", *, passes: bool) -> JsonObject:
    return {
        "passes": passes,
        "checks": [
            {
                "contract": one.contract,
                "question": one.question,
                "verdict": one.verdict,
                "passes": one.passes,
                "changes": [change.to_json() for change in one.changes],
                "waived": [_waiver(waiver) for waiver in one.waived],
            }
            for one in checked
        ],
        "expired_waivers": [_waiver(waiver) for waiver in overdue],
    }


def _waiver(waiver: "Waiver") -> JsonObject:
    return {**asdict(waiver), "expires": waiver.expires.isoformat()}


def _show(console: Console, checked: "list[Checked]", overdue: "list[Waiver]") -> None:
    for one in checked:
        waived = f" (waived: {'; '.join(waiver.reason for waiver in one.waived)})" if one.waived else ""
        console.print(Text.assemble(f"{one.contract}  {one.question}: ", coloured(one.verdict), waived))
        show_changes(console, one.changes)
    for waiver in overdue:
        console.print(
            f"the waiver of {waiver.rule} at {waiver.pointer} of {waiver.contract} ended {waiver.expires}"
        )
