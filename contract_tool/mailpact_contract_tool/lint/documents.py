"""Reads the files of a folder of contracts strictly, each once, and notes what cannot be read.

Files come in as bytes; None stands for one that could not be read. A file larger than a mebibyte or nested deeper than
64 is never parsed, so that time and memory are bounded by what is given.
"""

from collections.abc import Mapping
from typing import TypeAlias

from mailpact.contracts.catalogue import MAX_FILE_BYTES, parse_file
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, JsonValue
from mailpact_contract_tool.lint.rules import Finding, Rule

Files: TypeAlias = Mapping[str, bytes | None]


class Documents:
    """The files by their paths below the folder, with `/`; `findings` are those about files that are no documents."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.findings: list[Finding] = []
        self._read: dict[str, JsonValue | Refusal] = {}

    def value(self, path: str, wanted_by: str) -> JsonValue | Refusal:
        """Return what a file holds, or a refusal that is among the findings already."""
        if path not in self._read:
            self._read[path] = self._parse(path, wanted_by)
        return self._read[path]

    def object(self, path: str, wanted_by: str) -> JsonObject | None:
        """Return the object that a file holds; None when it holds none, which is a finding already."""
        value = self.value(path, wanted_by)
        if isinstance(value, dict):
            return value
        if not isinstance(value, Refusal):
            self.report(path, "", Rule.FILE_MALFORMED, "holds no JSON object")
            self._read[path] = Refusal(ErrorCode.SCHEMA, detail="holds no JSON object")
        return None

    def report(self, path: str, pointer: str, rule: Rule, sentence: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(path, pointer, rule, sentence))

    def _parse(self, path: str, wanted_by: str) -> JsonValue | Refusal:
        body = self.files.get(path)
        if body is None:
            fault = "cannot be read" if path in self.files else f"is missing; {wanted_by} needs it"
            self.report(path, "", Rule.FILE_MISSING, fault)
            return Refusal(ErrorCode.INVALID_JSON, detail=fault)
        value = parse_file(body)
        if isinstance(value, Refusal):
            is_large = value.code is ErrorCode.TOO_LARGE
            rule = Rule.FILE_TOO_LARGE if is_large else Rule.FILE_NOT_JSON
            sentence = (
                f"is larger than {MAX_FILE_BYTES} bytes" if is_large else f"is not read: {value.detail}"
            )
            self.report(path, "", rule, sentence)
        return value
