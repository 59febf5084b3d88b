"""Reads a folder of contracts from the disk into bytes; paths are written with `/`."""

import os
from pathlib import Path

from mailpact.contracts.catalogue import MAX_FILE_BYTES
from mailpact.settings import SettingsError
from mailpact_contract_tool.folder.documents import Files

MOST_FILES = 20_000
MOST_BYTES = 128 * 1024 * 1024


class FolderError(SettingsError):
    """A folder of contracts cannot be read or written."""


def read_files(root: Path) -> Files:
    """Read every file below a folder; of a file over 1 MiB, read only enough to show that the file is too large.

    Raises FolderError if there is no folder, or if the folder holds too many files or bytes. Hidden files are skipped,
    and links to folders are not followed.
    """
    if not root.is_dir():
        raise FolderError(f"{root} is not a folder; name the folder that contains index.json")
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
                    f"{root} contains more than {MOST_FILES} files or {MOST_BYTES // 2**20} MiB; "
                    "is this the folder of the contracts?"
                )
    return files


def _printable(path: Path) -> str:
    """Return a path as printable text, even if the bytes of the path are not UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def read_file(path: Path) -> bytes | None:
    """Return the bytes of a file, at most one byte over the limit; None if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
