"""Rules about published files: they never change, and no other files lie among them.

index.json holds the SHA-256 of every published file. The working files of a contract are the files that the next
release publishes. If they equal the newest version in history/, there is nothing to release.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mailpact_contract_tool.folder.documents import Files
from mailpact_contract_tool.folder.layout import ContractFolder
from mailpact_contract_tool.lint.rules import Finding, LintRule

INDEX = "index.json"
_VERSION = re.compile(r"(?P<major>[1-9][0-9]{0,8})\.(?P<minor>0|[1-9][0-9]{0,8})")
_HEADING = re.compile(r"^## (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of a contract in index.json; `number` is its position, and `hashes` are the hashes by path."""

    number: int
    folder: str
    version: str
    status: str
    deprecated: str | None
    hashes: dict[str, str]


def entries_of(document: Any) -> list[Entry]:
    """Return the contracts of index.json."""
    return [
        Entry(
            number=number,
            folder=f"{row['name']}/{row['major']}",
            version=row["version"],
            status=row["status"],
            deprecated=row.get("deprecated"),
            hashes={file["path"]: file["sha256"] for file in row["files"]},
        )
        for number, row in enumerate(document["contracts"])
    ]


def sha256(body: bytes) -> str:
    """Return the hash as index.json writes it."""
    return hashlib.sha256(body).hexdigest()


def published_findings(
    files: Files, entries: list[Entry], folders: list[ContractFolder]
) -> Iterator[Finding]:
    """Compare the files of all histories with the index."""
    by_folder = {entry.folder: entry for entry in entries}
    there = {folder.path: folder for folder in folders}
    for entry in entries:
        working = set(there[entry.folder].working_files) if entry.folder in there else set[str]()
        for path, digest in entry.hashes.items():
            if path not in working:
                yield from _unchanged(files, path, digest)
        if (entry.status == "deprecated") != (entry.deprecated is not None):
            yield Finding(
                INDEX,
                f"/contracts/{entry.number}/status",
                LintRule.FILE_MALFORMED,
                f"{entry.folder}: a deprecated contract has its day in deprecated, and only such a one",
            )
    for folder in folders:
        listed = by_folder[folder.path].hashes if folder.path in by_folder else {}
        for path in (path for paths in folder.history().values() for path in paths):
            if path not in listed:
                yield _edited(
                    path,
                    "lies among the published files and was never released; if a release was interrupted, "
                    f"finish it: mailpact contracts release {folder.path}",
                )


def _unchanged(files: Files, path: str, digest: str) -> Iterator[Finding]:
    body = files.get(path)
    if body is None:
        yield _edited(path, "was published and is missing; restore it")
    elif sha256(body) != digest:
        yield _edited(path, "was published and has been edited; restore it, and release a version")


def _edited(path: str, sentence: str) -> Finding:
    return Finding(path, "", LintRule.PUBLISHED_VERSION_EDITED, sentence)


def unreleased_findings(files: Files, entry: Entry | None, folder: ContractFolder) -> Iterator[Finding]:
    """Compare the working files of a contract with the newest published version."""
    for path in folder.working_files:
        name = path.rpartition("/")[2]
        latest = files.get(f"{folder.path}/history/{entry.version}/{name}") if entry is not None else None
        if latest is None or files.get(path) != latest:
            since = f"differs from version {entry.version}" if entry is not None else "was never released"
            yield Finding(
                path, "", LintRule.UNRELEASED_CHANGES, f"{since}: mailpact contracts release {folder.path}"
            )


def version_findings(entry: Entry, folder: ContractFolder) -> Iterator[Finding]:
    """Find missing versions between the first and the newest version."""
    minors = []
    for version in folder.history():
        match = _VERSION.fullmatch(version)
        if match is None or int(match["major"]) != folder.major:
            sentence = f"is no version of {folder.path}, such as {folder.major}.0"
            yield Finding(f"{folder.path}/history/{version}", "", LintRule.VERSION_GAP, sentence)
        else:
            minors.append(int(match["minor"]))
    newest = int(entry.version.partition(".")[2])
    missing = sorted({*range(min(newest, 1000) + 1)} - set(minors))
    if entry.version != f"{folder.major}.{newest}" or missing or max(minors, default=newest) != newest:
        gap = f"{folder.major}.{missing[0]} is missing" if missing else f"the newest is not {entry.version}"
        sentence = f"versions follow each other up to that of the index; {gap}"
        yield Finding(f"{folder.path}/history", "", LintRule.VERSION_GAP, sentence)


def changelog_findings(changelog: str, entry: Entry, folder: ContractFolder) -> Iterator[Finding]:
    """Find published versions that the changelog does not name, or names in a wrong order."""
    headings = _HEADING.findall(changelog)
    published = [version for version in reversed(folder.history()) if _VERSION.fullmatch(version)]
    sentences = [
        f"has no heading `## {version}`, which was published"
        for version in published
        if version not in headings
    ]
    if set(published) <= set(headings) and [one for one in headings if one in published] != published:
        sentences.append("the newest version stands first")
    if headings and published and headings[0] != entry.version and entry.version in headings:
        sentences.append(f"begins with {headings[0]}, which was not published")
    yield from (
        Finding(folder.changelog, "", LintRule.CHANGELOG_INCOMPLETE, sentence) for sentence in sentences
    )
