"""Plans a release: the files that make a contract's changes its next published version.

A version is only ever added, and only one that every program of the same major version can live with: each published
writers' schema must be accepted by the new readers, and the new writers' by every published reader. What is planned is
linted as if it were written already, so that nothing can be released that the linter would refuse afterwards.

The order of the files is the order of writing, the index last: until it is written nothing is published, and a release
that was interrupted is finished by running it again.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mailpact.contracts.compare import NO_WITNESS, Change, Comparison, Verdict, compare
from mailpact.contracts.errors import CatalogueError
from mailpact.contracts.lint import Finding, Rule, lint
from mailpact.contracts.lint.collected import Collected
from mailpact.contracts.lint.documents import MAX_FILE_BYTES, MAX_FILE_DEPTH, Files
from mailpact.contracts.lint.folders import ContractFolder, contract_folders
from mailpact.contracts.lint.forms import INDEX as INDEX_FORM
from mailpact.contracts.lint.history_rules import INDEX, sha256
from mailpact.contracts.parse import JsonObject, parse

_SCHEMAS = ("schema.json", "writer.schema.json")
_MOST_LINES = 20


class ReleaseRefused(CatalogueError):
    """Nothing was released; `reasons` says what has to change first, a line each."""

    def __init__(self, fault: str, reasons: Iterable[str] = ()) -> None:
        super().__init__(fault)
        self.reasons = tuple(reasons)


class ReleaseInterrupted(CatalogueError):
    """A file could not be written; what was written already does no harm."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is to be written, paths below the contracts' folder, in this order."""

    contract: str
    version: str
    files: tuple[tuple[str, bytes], ...]


def plan_release(files: Files, name: str) -> Release:
    """Plan the next minor version of a contract by its folder, such as "email/1"; raises ReleaseRefused."""
    folder = _folder(files, name)
    index = _index(files)
    entry = next((row for row in index["contracts"] if f"{row['name']}/{row['major']}" == name), None)
    version = f"{folder.major}.{_minor(entry['version']) + 1 if entry else 0}"
    working = {path.rpartition("/")[2]: _present(files, path) for path in folder.working_files}
    if entry is not None and working == _version(files, folder, entry["version"]):
        raise ReleaseRefused(
            f"nothing has changed in {name} since version {entry['version']}: nothing to release"
        )
    changes = [] if entry is None else _changes(files, folder, _minor(entry["version"]), working)
    history = {f"{name}/history/{version}/{file}": body for file, body in working.items()}
    current = {f"{name}/{file}": body for file, body in working.items()}
    release = Release(
        name,
        version,
        (
            *history.items(),
            (folder.changelog, _changelog(files, folder, version, changes)),
            (INDEX, _new_index(index, entry, folder, version, {**current, **history})),
        ),
    )
    _refuse_findings(files, release)
    return release


def _folder(files: Files, name: str) -> ContractFolder:
    folders = contract_folders(files)
    for folder in folders:
        if folder.path == name:
            return folder
    known = ", ".join(folder.path for folder in folders)
    raise ReleaseRefused(f"there is no contract {name!r} here; there are: {known}")


def _index(files: Files) -> Any:
    index = Collected(files).formed(INDEX, INDEX_FORM, "a release")
    if index is None:
        raise ReleaseRefused(f"{INDEX} is not in order; mailpact contracts lint says why")
    return index


def _present(files: Files, path: str) -> bytes:
    body = files.get(path)
    if body is None:
        raise ReleaseRefused(f"{path} is missing; a release publishes it")
    return body


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def _version(files: Files, folder: ContractFolder, version: str) -> dict[str, bytes | None]:
    """Give the files of a published version by their names."""
    prefix = f"{folder.path}/history/{version}/"
    return {path.removeprefix(prefix): files[path] for path in folder.files if path.startswith(prefix)}


def _changes(
    files: Files, folder: ContractFolder, newest: int, working: dict[str, bytes]
) -> list[tuple[str, Change]]:
    """Give what has changed since the newest version, and for whom; raise ReleaseRefused if any version would break."""
    reasons: list[str] = []
    for minor in range(newest + 1):
        version = f"{folder.major}.{minor}"
        published = _version(files, folder, version)
        if not {"schema.json", "writer.schema.json"} <= published.keys():
            raise ReleaseRefused(
                f"{folder.path}/history/{version} is not complete; mailpact contracts lint says why"
            )
        reader, writer = (_schema(published[name], f"{folder.path} {version} {name}") for name in _SCHEMAS)
        new_reader, new_writer = (_schema(working[name], f"{folder.path}/{name}") for name in _SCHEMAS)
        reasons += _broken(_compared(writer, new_reader), f"messages of {version}'s writers")
        reasons += _broken(_compared(new_writer, reader), f"{version}'s readers")
    if reasons:
        raise ReleaseRefused(
            f"{folder.path} is not released, since somebody would be refused; a new major version is a new folder",
            dict.fromkeys(reasons),
        )
    return [
        *(("readers", change) for change in _compared(reader, new_reader).changes),
        *(("writers", change) for change in _compared(writer, new_writer).changes),
    ]


def _compared(old: JsonObject, new: JsonObject) -> Comparison:
    try:
        return compare(old, new)
    except ValueError as error:  # no portable schema, or one too big
        raise ReleaseRefused(f"the schemas cannot be compared: {error}") from error


def _schema(body: bytes | None, title: str) -> JsonObject:
    value = parse(body or b"", max_bytes=MAX_FILE_BYTES, max_depth=MAX_FILE_DEPTH)
    if not isinstance(value, dict):
        raise ReleaseRefused(f"{title} is no schema; mailpact contracts lint says why")
    return value


def _broken(comparison: Comparison, whom: str) -> Iterator[str]:
    """Give a line for each change by which not all documents of the first schema are documents of the second."""
    if comparison.backward is Verdict.COMPATIBLE:
        return
    found = [change for change in comparison.changes if change.backward is not Verdict.COMPATIBLE]
    for change in found:
        witness = change.witness_backward
        shown = (
            "" if witness is NO_WITNESS else f", for example {json.dumps(witness, ensure_ascii=False)[:200]}"
        )
        yield f"{change.rule} at {change.pointer or 'the top'} is {change.backward} for {whom}{shown}"
    if not found:
        yield f"the whole is {comparison.backward} for {whom}"


def _changelog(
    files: Files, folder: ContractFolder, version: str, changes: list[tuple[str, Change]]
) -> bytes:
    """Put the entry of the new version first; one that an interrupted release has put there stays."""
    entry = f"## {version}\n\n{_entry_text(version, changes)}\n"
    text = (files.get(folder.changelog) or f"# Changes of {folder.path}\n".encode()).decode(
        "utf-8", "replace"
    )
    head, heading, rest = text.partition("\n## ")
    if f"{heading}{rest}\n".startswith(f"\n{entry}"):
        return text.encode()
    if rest.startswith(f"{version}\n"):
        raise ReleaseRefused(
            f"{folder.changelog} has an entry for {version} already; take it out, a release writes it"
        )
    older = f"\n## {rest}" if heading else ""
    return f"{head.rstrip()}\n\n{entry}{older}".encode()


def _entry_text(version: str, changes: list[tuple[str, Change]]) -> str:
    if version.endswith(".0"):
        return "The first published version."
    whom: dict[tuple[str, str], list[str]] = {}
    for side, change in changes:
        whom.setdefault((change.pointer, change.rule), []).append(side)
    lines = [
        f"- `{rule}` at `{pointer or '/'}`, for {' and '.join(sides)}"
        for (pointer, rule), sides in whom.items()
    ]
    return "\n".join(lines) or "Only words and their order have changed."


def _new_index(
    index: Any, entry: Any, folder: ContractFolder, version: str, published: dict[str, bytes]
) -> bytes:
    """Give the index with the new version's files and the current ones, the current first, then by version."""
    if entry is None:
        entry = _new_entry(index, folder)
        index["contracts"].append(entry)
    hashes = {file["path"]: file["sha256"] for file in entry["files"]}
    hashes |= {path: sha256(body) for path, body in published.items()}
    entry["version"] = version
    entry["files"] = [{"path": path, "sha256": digest} for path, digest in hashes.items()]
    return f"{json.dumps(index, indent=2, ensure_ascii=False)}\n".encode()


def _new_entry(index: Any, folder: ContractFolder) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": folder.name,
        "major": folder.major,
        "version": "",
        "status": "published",
        "schema": folder.schemas[0],
        "writer_schema": folder.schemas[1],
        "binding": None if folder.is_template else folder.binding,
    }
    if folder.is_template:
        carriers = [row["part_of"] for row in index["contracts"] if row.get("part_of")]
        if not carriers:
            raise ReleaseRefused(f"no template in {INDEX} says in part_of which contract carries its data")
        entry["part_of"] = carriers[-1]
    return entry | {"vectors": f"{folder.path}/vectors", "changelog": folder.changelog, "files": []}


def _refuse_findings(files: Files, release: Release) -> None:
    """Lint what there would be; other contracts may have changes of their own that nobody has released yet."""
    findings = [
        finding
        for finding in lint({**files, **dict(release.files)})
        if finding.rule is not Rule.UNRELEASED_CHANGES or finding.file.startswith(f"{release.contract}/")
    ]
    if findings:
        raise ReleaseRefused(
            f"{release.contract} is not released: mend what the linter finds ({len(findings)})",
            (_line(finding) for finding in findings[:_MOST_LINES]),
        )


def _line(finding: Finding) -> str:
    return f"{finding.rule} in {finding.file} at {finding.pointer or 'the top'}: {finding.sentence}"
