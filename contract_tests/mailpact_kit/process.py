"""Start a program in its own session, keep the end of its output, and stop the program with all its children.

The output goes through a pipe of the kit. A child that left the program's session can keep this pipe open; the kit
must not wait for such a child. The kit adopts these orphans (`adopt_orphans`) and ends them with the program.
"""

import asyncio
import ctypes
import errno
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mailpact_kit.changes import Changes

KEPT_BYTES = 64 * 1024
TERM_SECONDS = 20
LAST_WORDS_SECONDS = 0.5
ENDING_SECONDS = 5
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# prctl(PR_SET_PDEATHSIG, SIGKILL), which stays in force after exec.
DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Process:
    """A running program. Notifies of a change whenever it writes something, and when it exits."""

    running: "set[int]" = set()  # noqa: RUF012  # the pids of all running programs of the kit

    def __init__(self, process: asyncio.subprocess.Process, changes: Changes) -> None:
        self._process = process
        self._changes = changes
        self._written = bytearray()
        self._ended = asyncio.Event()
        self.running.add(process.pid)
        self._waiting = asyncio.create_task(self._wait())

    @classmethod
    async def start(cls, command: Sequence[str], variables: Mapping[str, str], changes: Changes) -> "Process":
        """Start the command with exactly these environment variables; raises OSError if it cannot be started."""
        if shutil.which(command[0], path=variables.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, "no such program")
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *_launcher(),
                *command,
                env=variables,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        started = cls(process, changes)
        await started._listen(reading)
        return started

    @property
    def exit_code(self) -> int | None:
        """Return the exit code; None if the program runs. A negative number is the signal that ended the program."""
        return self._process.returncode

    def tail(self, lines: int) -> list[str]:
        """Return the last lines that the program wrote."""
        return self._written.decode("utf-8", "backslashreplace").splitlines()[-lines:]

    async def terminate(self) -> bool:
        """Send SIGTERM to the program itself, as a container platform does; return whether it ends within 20 s."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        done, _ = await asyncio.wait({self._waiting}, timeout=TERM_SECONDS)
        return bool(done)

    async def kill(self) -> None:
        """Kill the program and the other processes of its session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._waiting
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._ended.wait()
        self._pipe.close()

    async def stop(self) -> bool:
        """Send SIGTERM, then kill the processes that are left; return whether the program ended by itself."""
        has_ended = await self.terminate()
        await self.kill()
        return has_ended

    def keep(self, data: bytes) -> None:
        """Keep the end of the program's output."""
        self._written += data
        del self._written[:-KEPT_BYTES]
        self._changes.notify()

    def end_of_output(self) -> None:
        """Record that the pipe is closed and no process can write to it."""
        self._ended.set()

    async def _listen(self, reading: int) -> None:
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(reading, "rb", buffering=0)
        self._pipe, _ = await loop.connect_read_pipe(lambda: _Output(self), pipe)

    async def _wait(self) -> None:
        await self._process.wait()
        self.running.discard(self._process.pid)
        self._changes.notify()


class _Output(asyncio.Protocol):
    """The reading end of a program's pipe."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def data_received(self, data: bytes) -> None:
        self._process.keep(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._process.end_of_output()


def adopt_orphans() -> None:
    """Become the parent of every process whose parent ends below this one (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


async def end_orphans() -> None:
    """Kill the adopted processes and their children. The programs that the kit runs are not killed."""
    for _ in range(int(ENDING_SECONDS / 0.05)):
        orphans = [pid for pid in _children(os.getpid()) if pid not in Process.running]
        if not orphans:
            return
        for pid in orphans:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  # WNOHANG does not wait
        await asyncio.sleep(0.05)  # the kit now adopts the children of the killed orphan


def _children(parent: int) -> list[int]:
    """Return the pids of a process's children, from /proc; none if the system has no /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # the process name may contain any character
            fields = stat.read_bytes().rpartition(b")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _launcher() -> Sequence[str]:
    """Return the command prefix that ends a program with the kit, even if the kit is killed (Linux only)."""
    return (sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT) if sys.platform == "linux" else ()
