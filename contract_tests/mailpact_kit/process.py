"""Starts a program in a session of its own, keeps the end of what it writes, and stops it with all its children."""

import asyncio
import errno
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from mailpact_kit.bell import Bell

KEPT_BYTES = 64 * 1024
TERM_SECONDS = 10
LAST_WORDS_SECONDS = 2
# prctl(PR_SET_PDEATHSIG, SIGKILL), which outlives the exec.
DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Process:
    """A running program. Rings the bell whenever it writes something, and when it exits."""

    def __init__(self, process: asyncio.subprocess.Process, bell: Bell) -> None:
        self._process = process
        self._bell = bell
        self._written = bytearray()
        self._reading = asyncio.create_task(self._read())
        self._waiting = asyncio.create_task(self._wait())

    @classmethod
    async def start(cls, command: Sequence[str], variables: Mapping[str, str], bell: Bell) -> "Process":
        """Start the command with exactly these environment variables; raises OSError if that cannot be."""
        if shutil.which(command[0], path=variables.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, "no such program")
        process = await asyncio.create_subprocess_exec(
            *_launcher(),
            *command,
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process, bell)

    @property
    def exit_code(self) -> int | None:
        """How it ended, None as long as it runs; negative: the signal."""
        return self._process.returncode

    def tail(self, lines: int) -> list[str]:
        """Return the last lines of what it wrote."""
        return self._written.decode("utf-8", "backslashreplace").splitlines()[-lines:]

    async def stop(self) -> None:
        """Ask it to stop (SIGTERM), kill it after 10 seconds, and its children in any case."""
        self._signal(signal.SIGTERM)
        await asyncio.wait({self._waiting}, timeout=TERM_SECONDS)
        self._signal(signal.SIGKILL)
        await self._waiting
        await asyncio.wait({self._reading}, timeout=LAST_WORDS_SECONDS)
        self._reading.cancel()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        while data := await stream.read(KEPT_BYTES):
            self._written += data
            del self._written[:-KEPT_BYTES]
            self._bell.ring()

    async def _wait(self) -> None:
        await self._process.wait()
        self._bell.ring()


def _launcher() -> Sequence[str]:
    """Return the command prefix that ends a program with the kit, even if the kit is killed (Linux only)."""
    return (sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT) if sys.platform == "linux" else ()
