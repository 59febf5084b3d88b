"""Plans a release: the files that make a contract's changes its next published version.

A release only adds a version, and the version must be compatible with every program of the same major version: the
new readers must accept the messages of each published version's writers, and each published version's readers must
accept the messages of the new writers. The planned files are linted before they are written, so the linter accepts
every released version.

The files are written in the planned order, with the index last. Nothing is published until the index is written. To
finish an interrupted release, run the release again.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from mailpact.contracts.errors import CatalogueError, UnknownContractError
from mailpact_contract_tool.check.reading import UnreadableDocument, read_release
from mailpact_contract_tool.check.versions import Contract, check
from mailpact_contract_tool.check.wire import compare_bindings
from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Change
from mailpact_contract_tool.folder.documents import Files, json_bytes
from mailpact_contract_tool.folder.forms import INDEX as INDEX_FORM
from mailpact_contract_tool.folder.layout import ContractFolder, contract_folders
from mailpact_contract_tool.lint.collected import Collected
from mailpact_contract_tool.lint.folder import lint
from mailpact_contract_tool.lint.history_rules import INDEX, entries_of, published_findings, sha256
from mailpact_contract_tool.lint.rules import Finding, LintRule

_MOST_LINES = 20


class ReleaseRefused(CatalogueError):
    """Nothing was released; `reasons` says what must change first, one line each."""

    def __init__(self, fault: str, reasons: Iterable[str] = ()) -> None:
        super().__init__(fault)
        self.reasons = tuple(reasons)


class ReleaseInterrupted(CatalogueError):
    """A file could not be written. The files that were already written do no harm."""


@dataclass(frozen=True, slots=True)
class Release:
    """The files to write, in this order, with paths below the folder of the contracts."""

    contract: str
    version: str
    files: tuple[tuple[str, bytes], ...]


def plan_release(files: Files, name: str) -> Release:
    """Plan the next minor version of a contract by its folder, such as "email/1".

    Raises ReleaseRefused, and UnknownContractError for a name that no folder has.
    """
    folder = _folder(files, name)
    index = _index(files)
    entry = next((row for row in index["contracts"] if f"{row['name']}/{row['major']}" == name), None)
    version = f"{folder.major}.{_minor(entry['version']) + 1 if entry else 0}"
    _refuse_edits(files, index, folder, version)
    working = {path.rpartition("/")[2]: _present(files, path) for path in folder.working_files}
    _refuse_unusable(files, folder)
    if entry is not None and working == _version(files, folder, entry["version"]):
        raise ReleaseRefused(
            f"nothing has changed in {name} since version {entry['version']}: nothing to release"
        )
    changes = [] if entry is None else _changes(files, folder, _minor(entry["version"]))
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
    folders = {folder.path: folder for folder in contract_folders(files)}
    if name not in folders:
        raise UnknownContractError(name, tuple(folders))
    return folders[name]


def _index(files: Files) -> Any:
    index = Collected(files).formed(INDEX, INDEX_FORM, "a release")
    if index is None:
        raise ReleaseRefused(f"{INDEX} has errors; mailpact contracts lint lists them")
    return index


def _present(files: Files, path: str) -> bytes:
    body = files.get(path)
    if body is None:
        raise ReleaseRefused(f"{path} is missing; a release publishes it")
    return body


def _minor(version: str) -> int:
    minor = version.partition(".")[2]
    return int(minor) if minor.isdecimal() and len(minor) < 10 else -1


def _version(files: Files, folder: ContractFolder, version: str) -> dict[str, bytes | None]:
    """Return the files of a published version by their names."""
    prefix = f"{folder.path}/history/{version}/"
    return {path.removeprefix(prefix): files[path] for path in folder.files if path.startswith(prefix)}


def _changes(files: Files, folder: ContractFolder, newest: int) -> list[tuple[str, Change]]:
    """Return the changes since the newest version, with their files; raise ReleaseRefused if they break a version."""
    try:
        now = read_release(files, folder.path, "as it is")
        published = tuple(
            read_release(files, f"{folder.path}/history/{version}", version)
            for version in folder.history()
            if _minor(version) <= newest
        )
        checked = check([Contract(folder.path, now, published)], None, (), date.min)
        then = published[-1]
        changes = [
            *(("readers", change) for change in compare(then.schema, now.schema).changes),
            *(("writers", change) for change in compare(then.writer_schema, now.writer_schema).changes),
        ]
        if then.binding is not None and now.binding is not None:
            changes += [
                ("messages on their way", change) for change in compare_bindings(then.binding, now.binding)
            ]
    except (UnreadableDocument, ValueError) as error:
        raise ReleaseRefused(f"{folder.path} cannot be compared with what was published: {error}") from error
    reasons = [_reason(one.question, change) for one in checked for change in one.changes]
    if reasons:
        raise ReleaseRefused(
            f"{folder.path} is not released, because the change would break a program; "
            "a breaking change needs a new major version in a new folder",
            reasons,
        )
    return changes


def _reason(question: str, change: Change) -> str:
    shown = ""
    if change.witness_backward is not NO_WITNESS:
        shown = f", for example {json.dumps(change.witness_backward, ensure_ascii=False)[:200]}"
    return f"{change.rule} at {change.pointer} is {change.backward} from {question}{shown}"


def _changelog(
    files: Files, folder: ContractFolder, version: str, changes: list[tuple[str, Change]]
) -> bytes:
    """Return the changelog with the entry of the new version first; an entry of an interrupted release is kept."""
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
    """Return the index with the new version's files and the current files."""
    if entry is None:
        entry = _new_entry(index, folder)
        index["contracts"].append(entry)
    hashes = {file["path"]: file["sha256"] for file in entry["files"]}
    hashes |= {path: sha256(body) for path, body in published.items()}
    entry["version"] = version
    entry["files"] = [{"path": path, "sha256": digest} for path, digest in hashes.items()]
    return json_bytes(index)


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
            raise ReleaseRefused(
                f"no template in {INDEX} has a member part_of that names the contract of its data"
            )
        entry["part_of"] = carriers[-1]
    return entry | {"vectors": f"{folder.path}/vectors", "changelog": folder.changelog, "files": []}


def _refuse_edits(files: Files, index: Any, folder: ContractFolder, version: str) -> None:
    """Raise ReleaseRefused if published files were edited; files of an interrupted release do not count."""
    _refuse(
        f"{folder.path} is not released: what was published has been changed",
        (
            finding
            for finding in published_findings(files, entries_of(index), [folder])
            if finding.rule is LintRule.PUBLISHED_VERSION_EDITED
            and finding.file.startswith(f"{folder.path}/")
            and not finding.file.startswith(f"{folder.path}/history/{version}/")
        ),
    )


def _refuse_unusable(files: Files, folder: ContractFolder) -> None:
    """Raise ReleaseRefused if an engine must not compile a schema."""
    _refuse(
        f"{folder.path} is not released: correct what the linter finds",
        (
            finding
            for finding in lint(files)
            if finding.file in folder.working_files and finding.rule.startswith(("EC-FILE", "EC-PORT"))
        ),
    )


def _refuse_findings(files: Files, release: Release) -> None:
    """Raise ReleaseRefused for findings after the release; unreleased changes of other contracts do not count."""
    _refuse(
        f"{release.contract} is not released: correct what the linter finds",
        (
            finding
            for finding in lint({**files, **dict(release.files)})
            if finding.rule is not LintRule.UNRELEASED_CHANGES
            or finding.file.startswith(f"{release.contract}/")
        ),
    )


def _refuse(fault: str, findings: Iterable[Finding]) -> None:
    """Raise ReleaseRefused if there are findings, with the first of them as reasons."""
    found = [*findings]
    if found:
        raise ReleaseRefused(f"{fault} ({len(found)})", (_line(finding) for finding in found[:_MOST_LINES]))


def _line(finding: Finding) -> str:
    return f"{finding.rule} in {finding.file} at {finding.pointer or 'the top'}: {finding.sentence}"
