"""`mailpact contracts lint`: checks that the contracts are sound, portable and unchanged."""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from mailpact_cli import options
from mailpact_cli.contracts.source import contracts_folder, folder_option
from mailpact_cli.errors import WRONG

if TYPE_CHECKING:
    from mailpact_contract_tool.lint.rules import Finding


def lint_contracts(
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Check that the contracts are sound and portable, and that no published file was changed."""
    from mailpact_contract_tool.folder.files import read_files
    from mailpact_contract_tool.lint.folder import lint

    findings = lint(read_files(contracts_folder(contracts)))
    if as_json:
        print(json.dumps({"findings": [_row(finding) for finding in findings]}))  # noqa: T201  # the result
    else:
        show(findings)
    if findings:
        raise typer.Exit(WRONG)


def show(findings: "Sequence[Finding]") -> None:
    """Print findings for a person, by file, each rule's page once at the end."""
    console = Console(soft_wrap=True, highlight=False)
    for file, found in groupby(findings, key=lambda finding: finding.file):
        console.print(Text(file, style="bold"))
        for finding in found:
            place = finding.pointer or "the whole"
            console.print(Text.assemble("  ", (finding.rule, "red"), f"  {place}: {finding.sentence}"))
    if findings:
        pages = ", ".join(sorted({finding.rule.page for finding in findings}))
        console.print(f"\n{_count(findings)}. Each rule is explained in {pages}")
    else:
        console.print("no findings")


def _count(findings: "Sequence[Finding]") -> str:
    return "1 finding" if len(findings) == 1 else f"{len(findings)} findings"


def _row(finding: "Finding") -> dict[str, str]:
    return {
        "rule": finding.rule,
        "file": finding.file,
        "pointer": finding.pointer,
        "message": finding.sentence,
        "page": finding.rule.page,
    }
