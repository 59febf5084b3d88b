"""Findings as they are collected, and files whose form is checked on the way."""

from collections.abc import Iterable
from typing import Any

from mailpact.contracts.catalogue import MAX_FILE_BYTES
from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.folder.documents import Files, Trouble, Unreadable, read_object
from mailpact_contract_tool.folder.forms import form_faults
from mailpact_contract_tool.lint.rules import Fault, Finding, Rule

_RULES = {
    Trouble.MISSING: Rule.FILE_MISSING,
    Trouble.TOO_LARGE: Rule.FILE_TOO_LARGE,
    Trouble.NOT_JSON: Rule.FILE_NOT_JSON,
    Trouble.NO_OBJECT: Rule.FILE_MALFORMED,
}


class Collected:
    """The files under the linter, each read once, and what was found in them so far."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._read: dict[str, JsonObject | Unreadable] = {}
        self._findings: list[Finding] = []

    def add(self, path: str, faults: Iterable[Fault]) -> None:
        """Note what is wrong in one file."""
        self._findings += [Finding(path, fault.pointer, fault.rule, fault.sentence) for fault in faults]

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """Note findings that name their files."""
        self._findings += findings

    def object(self, path: str, wanted_by: str) -> JsonObject | None:
        """Return the object that a file holds; None when there is none, which is noted."""
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
        """Return a document of this form; None when it has another one, which is noted."""
        document = self.object(path, wanted_by)
        if document is None:
            return None
        faults = [Fault(Rule.FILE_MALFORMED, *fault) for fault in form_faults(document, form)]
        self.add(path, faults)
        return None if faults else document

    def speaks_of(self, path: str) -> bool:
        """Return whether anything was found in a file."""
        return any(finding.file == path for finding in self._findings)

    def sorted(self) -> list[Finding]:
        """Return each finding once, by file and place."""
        return sorted({*self._findings})
