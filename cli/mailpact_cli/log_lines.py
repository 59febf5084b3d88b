"""Writes log lines to a stream, those of one moment as one write.

A consumer writes a line for each mail, and one commit of its inbox makes some ten mails `sent` at once: a write for
each line would take a twentieth of its CPU time. So lines of the level info that are made in one round of the event
loop are written together, at the end of that round. Warnings and errors are written at once, with what waits before
them; so is every line where no event loop runs.
"""

import asyncio
import sys
from typing import TextIO

import structlog


def write_lines_in_groups() -> None:
    """Have our log lines written to standard error in groups, after `configure_logging`."""
    lines = GroupedLines(sys.stderr)
    structlog.configure(logger_factory=lambda *_: lines)


class GroupedLines:
    """structlog's last step: a method for each level; the lines are rendered already."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []

    def info(self, line: str) -> None:
        """Write a line by the end of this round of the event loop."""
        self._waiting.append(f"{line}\n")
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._write)
            except RuntimeError:  # no event loop runs in this thread
                self._write()

    def warning(self, line: str) -> None:
        """Write a line now, after those that wait."""
        self._waiting.append(f"{line}\n")
        self._write()

    error = critical = warning

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:  # a warning may have written them already
            self._stream.write("".join(waiting))
            self._stream.flush()
