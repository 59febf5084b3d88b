"""Writes log lines to a stream, and groups lines of the same moment into one write.

A consumer writes a line for each mail, and one commit of its inbox sets about ten mails to `sent` at once. A write
for each line would take a twentieth of the consumer's CPU time. So all lines of level info from one round of the
event loop are written together at the end of the round. Warnings and errors are written at once, after the waiting
lines. Without an event loop every line is written at once.
"""

import asyncio
import sys
from typing import TextIO

import structlog


def write_lines_in_groups() -> None:
    """Write log lines to standard error in groups. Call this after `configure_logging`."""
    lines = GroupedLines(sys.stderr)
    structlog.configure(logger_factory=lambda *_: lines)


class GroupedLines:
    """The logger at the end of structlog's chain, with a method for each level. It gets rendered lines."""

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
        """Write a line now, after the waiting lines."""
        self._waiting.append(f"{line}\n")
        self._write()

    error = critical = warning

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:  # a warning may have written them already
            self._stream.write("".join(waiting))
            self._stream.flush()
