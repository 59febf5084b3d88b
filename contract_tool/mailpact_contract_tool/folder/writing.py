"""Writes a release to the disk: each file whole or not at all, and the index last.

Each file is written under a hidden name beside its place, flushed to the disk, and renamed. After a crash there may be
hidden files, which nothing reads, or published files that the index does not name yet, which the linter reports.
Running the release again completes the release.
"""

import os
from collections.abc import Iterable
from pathlib import Path


def write_files(root: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files below the contracts' folder, in their order; raises OSError."""
    for name, body in files:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = target.with_name(f".{target.name}.new")
        with hidden.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(target)
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the renaming in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
