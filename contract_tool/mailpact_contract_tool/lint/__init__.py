"""Lints a folder of contracts: files as bytes go in, findings come out; nothing here reads, writes or asks the time."""

from mailpact_contract_tool.lint.documents import Files
from mailpact_contract_tool.lint.rules import Finding, Rule

__all__ = ["Finding", "Rule", "lint"]


def lint(files: Files) -> list[Finding]:
    """Return what is wrong with the contracts in these files, sorted by file; nothing is an empty list."""
    # Imported here: the command speaks of findings at every start, and needs the rules only when it lints.
    from mailpact_contract_tool.lint.folder import lint_folder

    return lint_folder(files)
