"""Reads a folder of contracts from the disk, as the linter takes it: paths with `/`, and bytes."""

import os
from pathlib import Path

from mailpact.contracts.catalogue import MAX_FILE_BYTES
from mailpact.settings import SettingsError
from mailpact_contract_tool.folder.documents import Files

MOST_FILES = 20_000
MOST_BYTES = 128 * 1024 * 1024


class FolderError(SettingsError):
    """The folder cannot be read as one of contracts."""


def read_files(root: Path) -> Files:
    """Read every file below a folder, of a large one no more than shows that it is too large.

    Raises FolderError when there is no folder or too much in it. Hidden files are nobody's contract; a link to a folder
    is not followed.
    """
    if not root.is_dir():
        raise FolderError(f"{root} is not a folder; name the one that holds index.json")
    files: dict[str, bytes | None] = {}
    size = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                body = read_file(path)
                files[_printable(path.relative_to(root))] = body
                size += len(body or b"")
            if len(files) > MOST_FILES or size > MOST_BYTES:
                raise FolderError(
                    f"{root} holds more than {MOST_FILES} files or {MOST_BYTES // 2**20} MiB; "
                    "is it the folder of the contracts?"
                )
    return files


def _printable(path: Path) -> str:
    """Return a path as text that can be printed, even where its bytes are not UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def read_file(path: Path) -> bytes | None:
    """Read no more of a file than shows that it is too large; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
