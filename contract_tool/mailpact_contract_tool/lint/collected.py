"""Findings as they are collected, and files whose form is checked on the way."""

from collections.abc import Iterable
from typing import Any

from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.lint.documents import Documents, Files
from mailpact_contract_tool.lint.faults import Fault
from mailpact_contract_tool.lint.forms import form_faults
from mailpact_contract_tool.lint.rules import Finding


class Collected:
    """The files under the linter, and what was found in them so far."""

    def __init__(self, files: Files) -> None:
        self.documents = Documents(files)
        self._findings: list[Finding] = []

    def add(self, path: str, faults: Iterable[Fault]) -> None:
        """Note what is wrong in one file."""
        self._findings += [Finding(path, fault.pointer, fault.rule, fault.sentence) for fault in faults]

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """Note findings that name their files."""
        self._findings += findings

    def formed(self, path: str, form: JsonObject, wanted_by: str) -> Any:
        """Return a document of this form; None when it is not, which is noted."""
        document = self.documents.object(path, wanted_by)
        if document is None:
            return None
        faults = list(form_faults(document, form))
        self.add(path, faults)
        return None if faults else document

    def speaks_of(self, path: str) -> bool:
        """Whether anything was found in a file."""
        return any(finding.file == path for finding in self._findings)

    def sorted(self) -> list[Finding]:
        """Return each finding once, by file and place."""
        return sorted({*self._findings, *self.documents.findings})
