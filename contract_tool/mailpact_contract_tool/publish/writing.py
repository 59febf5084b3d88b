"""Reads the published files as bytes; writes a folder completely or not at all.

The output folder must be new, empty, or written by an earlier run; the list of hashes of the earlier run names its
files. Any other file belongs to somebody else and is never changed. New files are first written under a hidden name,
and replace the old files only when all are complete.
"""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mailpact.contracts.errors import CatalogueError
from mailpact_contract_tool.folder.files import FolderError, read_files
from mailpact_contract_tool.lint.folder import lint
from mailpact_contract_tool.lint.rules import Finding, LintRule
from mailpact_contract_tool.publish.edition import CHECKSUMS

_UNFINISHED = ".mailpact-"
_NOT_AS_RELEASED = frozenset({LintRule.PUBLISHED_VERSION_EDITED, LintRule.UNRELEASED_CHANGES})
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
_PUBLISHED_KINDS = frozenset({".json", ".md"})


class OutputFolderError(Exception):
    """A folder cannot be written, or contains other files; the message names the next step."""


class NotPublishable(CatalogueError):
    """The contracts differ from what was released, or a file cannot be read."""

    def __init__(self, root: Path, findings: Sequence[Finding]) -> None:
        first = findings[0]
        place = f"{root / first.file} {first.pointer}".rstrip()
        super().__init__(
            f"{place}: {first.sentence} ({first.rule}). Not published; `mailpact contracts lint` lists all faults"
        )


def read_published(root: Path) -> dict[str, bytes]:
    """Return every published file below `root`, by its path; raise FolderError or NotPublishable.

    Only the folders that index.json names are published; drafts and other files are left out. NotPublishable means that
    a file cannot be read, does not have its form, or was changed since its release.
    """
    files = read_files(root)
    folders = tuple(_published_folders(files.get("index.json") or b""))
    published = {path: data for path, data in files.items() if _is_published(path, folders)}
    strange = sorted(path for path in published if not _PLAIN.fullmatch(path))
    if strange:
        # Not every system can store other names, and a line end in a name would make two lines in SHA256SUMS.
        raise FolderError(
            f"{root}: {strange[0]!a} cannot be unpacked under this name on every system; rename the file"
        )
    findings = [finding for finding in lint(published) if _forbids_publishing(finding)]
    if findings:
        raise NotPublishable(root, findings)
    return {path: data for path, data in published.items() if data is not None}


def _published_folders(index: bytes) -> Iterator[str]:
    """Yield the folders that index.json names; nothing if the index is damaged, which the linter reports."""
    try:
        for entry in json.loads(index)["contracts"]:
            yield f"{entry['name']}/{entry['major']}/"
    except (ValueError, KeyError, TypeError, RecursionError):
        return


def _is_published(path: str, folders: tuple[str, ...]) -> bool:
    named = "/" not in path or path.startswith(folders)
    return named and PurePosixPath(path).suffix in _PUBLISHED_KINDS


def _forbids_publishing(finding: Finding) -> bool:
    return finding.rule in _NOT_AS_RELEASED or finding.rule.startswith("EC-FILE-")


def write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` to `out` and remove old files; one file lists the hashes of the rest. Raises OutputFolderError."""
    was_there = out.exists()
    try:
        refuse_what_is_not_ours(out)
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=_UNFINISHED) as unfinished:
            write_all(Path(unfinished, "new"), files)
            _take_their_places(out, Path(unfinished))
    except OSError as error:
        if not was_there:
            with contextlib.suppress(OSError):
                out.rmdir()
        raise OutputFolderError(f"{out} cannot be written: {error.strerror}. Choose another --out") from error


def refuse_what_is_not_ours(out: Path) -> None:
    """Raise OutputFolderError if `out` contains anything but the unchanged files of an earlier run."""
    if not out.is_dir():
        return
    try:
        ours = _listed(out / CHECKSUMS)
        foreign = next((name for name, path in _files(out) if not _is(path, ours.get(name, ""))), None)
    except OSError as error:
        raise OutputFolderError(f"{out} cannot be read: {error.strerror}. Choose another --out") from error
    if foreign is not None:
        raise OutputFolderError(
            f"{out} contains {foreign!r}, which this command did not write or which was changed. Give a new or empty "
            "folder as --out, or empty this one"
        )


def _files(out: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files to be replaced: all except folders, the list of hashes, and files of an interrupted run."""
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if (
            name != CHECKSUMS
            and not name.startswith(_UNFINISHED)
            and (path.is_symlink() or not path.is_dir())
        ):
            yield name, path


def _is(path: Path, digest: str) -> bool:
    """Return whether a file has this digest; links, and files without a digest, are not opened."""
    if not digest or path.is_symlink() or not path.is_file():
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _listed(sums: Path) -> dict[str, str]:
    """Return the hashes that an earlier run wrote, by path."""
    if not sums.is_file():
        return {}
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their paths below a folder; raises OSError."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _take_their_places(out: Path, unfinished: Path) -> None:
    old = unfinished / "old"
    old.mkdir()
    for path in sorted(out.iterdir()):
        if path.name == unfinished.name:
            continue
        if path.name.startswith(_UNFINISHED):
            shutil.rmtree(path)  # left by a run that was killed
        else:
            path.rename(old / path.name)
    for path in sorted((unfinished / "new").iterdir()):
        path.rename(out / path.name)
