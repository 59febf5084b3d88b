"""`mailpact contracts lint`: checks that the contracts are sound, portable and unchanged."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.text import Text

from mailpact_cli import options
from mailpact_cli.contracts.result import report
from mailpact_cli.contracts.source import contracts_folder, folder_option

if TYPE_CHECKING:
    from mailpact_contract_tool.lint.rules import Finding


def lint_contracts(
    contracts: Annotated[Path | None, folder_option()] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Check that contracts have no mistakes, mean the same in every language, and that no published file changed."""
    from mailpact_contract_tool.folder.files import read_files
    from mailpact_contract_tool.lint.folder import lint

    findings = lint(read_files(contracts_folder(contracts)))
    result = {"findings": [_row(finding) for finding in findings]}
    report(result, lambda console: show(console, findings), as_json=as_json, passes=not findings)


def show(console: Console, findings: "Sequence[Finding]") -> None:
    """Print findings for a person, by file, each rule's page once at the end."""
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
