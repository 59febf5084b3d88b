"""Collects findings, and reads files whose form is checked."""

from collections.abc import Iterable
from typing import Any

from mailpact.contracts.catalogue import MAX_FILE_BYTES
from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.folder.documents import Files, Trouble, Unreadable, read_object
from mailpact_contract_tool.folder.forms import form_faults
from mailpact_contract_tool.lint.rules import Fault, Finding, LintRule

_RULES = {
    Trouble.MISSING: LintRule.FILE_MISSING,
    Trouble.TOO_LARGE: LintRule.FILE_TOO_LARGE,
    Trouble.NOT_JSON: LintRule.FILE_NOT_JSON,
    Trouble.NO_OBJECT: LintRule.FILE_MALFORMED,
}


class Collected:
    """The files of a folder, each read once, and the findings so far."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._read: dict[str, JsonObject | Unreadable] = {}
        self._findings: list[Finding] = []

    def add(self, path: str, faults: Iterable[Fault]) -> None:
        """Add the faults of one file."""
        self._findings += [Finding(path, fault.pointer, fault.rule, fault.sentence) for fault in faults]

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """Add findings, which name their files."""
        self._findings += findings

    def object(self, path: str, wanted_by: str) -> JsonObject | None:
        """Return the object that a file holds; if there is none, add a finding and return None."""
        if path not in self._read:
            self._read[path] = found = read_object(self.files, path)
            if isinstance(found, Unreadable):
                needed = f"; {wanted_by} needs it" if path not in self.files else ""
                said = {
                    Trouble.NOT_JSON: f"is not read: {found.sentence}",
                    Trouble.TOO_LARGE: f"is larger than {MAX_FILE_BYTES} bytes",
                }.get(found.trouble, f"{found.sentence}{needed}")
                self.add(path, [Fault(_RULES[found.trouble], "", said)])
        read = self._read[path]
        return None if isinstance(read, Unreadable) else read

    def formed(self, path: str, form: JsonObject, wanted_by: str) -> Any:
        """Return a document of this form; if the document has another form, add a finding and return None."""
        document = self.object(path, wanted_by)
        if document is None:
            return None
        faults = [Fault(LintRule.FILE_MALFORMED, *fault) for fault in form_faults(document, form)]
        self.add(path, faults)
        return None if faults else document

    def speaks_of(self, path: str) -> bool:
        """Return whether there is a finding about a file."""
        return any(finding.file == path for finding in self._findings)

    def sorted(self) -> list[Finding]:
        """Return each finding once, sorted by file and place."""
        return sorted({*self._findings})
