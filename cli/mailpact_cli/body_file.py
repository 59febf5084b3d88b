"""Reads a file or standard input up to a limit of bytes."""

import sys
from pathlib import Path

from mailpact.settings import SettingsError


def read_body(file: Path, most_bytes: int) -> bytes:
    """Return at most so many bytes of the file, or of standard input for `-`; raise SettingsError if that fails."""
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(most_bytes)
        with file.open("rb") as stream:
            return stream.read(most_bytes)
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be read: {error.strerror}; name a file, or - for standard input"
        ) from error
