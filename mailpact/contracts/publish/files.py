"""Reads the published files as bytes, and writes a folder whole or not at all.

A folder that is written to must be new, empty, or of an earlier run: its own list of hashes says which files those are.
Anything else in it is somebody's, and is never touched. New files are written beside the old ones under a name of their
own; only when all are there do they take the others' places.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mailpact.contracts.errors import CatalogueError, PublishedFileError
from mailpact.contracts.publish.edition import CHECKSUMS

_UNFINISHED = ".mailpact-"
_PUBLISHED_KINDS = frozenset({".json", ".md"})


class OutputFolderError(Exception):
    """A folder cannot be written to, or holds what is not ours; the message names it and the next step."""


class PublishedFileChanged(CatalogueError):
    """A file is not the one that was published under its version."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is not the file that index.json gives the SHA-256 of. Published files never change: "
            "put it back, and make the change a new version"
        )


def read_published(root: Path) -> dict[str, bytes]:
    """Read every published file below `root`, by its path; raises PublishedFileError and PublishedFileChanged.

    Drafts and strangers are left out: published is what stands in the folders that index.json names.
    """
    try:
        index = json.loads((root / "index.json").read_bytes())
        files = {str(path.relative_to(root).as_posix()): path.read_bytes() for path in _paths(root, index)}
    except OSError as error:
        raise PublishedFileError(Path(error.filename or root), f"cannot be read: {error.strerror}") from error
    for entry in index["contracts"]:
        for file in entry["files"]:
            if hashlib.sha256(files.get(file["path"], b"")).hexdigest() != file["sha256"]:
                raise PublishedFileChanged(root / file["path"])
    return files


def _paths(root: Path, index: dict[str, list[dict[str, str]]]) -> Iterator[Path]:
    yield from (path for path in sorted(root.iterdir()) if path.suffix in _PUBLISHED_KINDS)
    for entry in index["contracts"]:
        folder = root / entry["name"] / str(entry["major"])
        yield from (path for path in sorted(folder.rglob("*")) if path.suffix in _PUBLISHED_KINDS)


def write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Make `out` hold exactly `files`, one of which lists the hashes of the others; raises OutputFolderError."""
    was_there = out.exists()
    try:
        refuse_what_is_not_ours(out)
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=_UNFINISHED) as unfinished:
            _write(Path(unfinished, "new"), files)
            _take_their_places(out, Path(unfinished))
    except OSError as error:
        if not was_there:
            with contextlib.suppress(OSError):
                out.rmdir()
        raise OutputFolderError(f"{out} cannot be written: {error.strerror}. Choose another --out") from error


def refuse_what_is_not_ours(out: Path) -> None:
    """Raise OutputFolderError if `out` holds anything but the unchanged files of an earlier run."""
    if not out.is_dir():
        return
    ours = _listed(out / CHECKSUMS)
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_dir() or name.startswith(_UNFINISHED) or name == CHECKSUMS:
            continue
        if ours.get(name) != hashlib.sha256(path.read_bytes()).hexdigest():
            raise OutputFolderError(
                f"{out} holds {name}, which this command did not write or somebody changed. Name a new or empty "
                "folder as --out, or empty this one"
            )


def _listed(sums: Path) -> dict[str, str]:
    """Read the hashes that an earlier run wrote, by the paths of its files."""
    if not sums.is_file():
        return {}
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
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
            shutil.rmtree(path)  # of a run that was killed
        else:
            path.rename(old / path.name)
    for path in sorted((unfinished / "new").iterdir()):
        path.rename(out / path.name)
