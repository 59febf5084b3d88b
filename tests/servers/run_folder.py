"""The place of all that one process of a test run starts, and the keeper that clears it away afterwards.

The keeper is this file as a program, `python run_folder.py FOLDER`, with a pipe from the run as its standard input. The
pipe ends when the run's process does, in whatever way, SIGKILL included. Then the keeper kills every process whose
environment has TEST_RUN_FOLDER=FOLDER, until there is none, waits for their end, and removes FOLDER. The environment is
inherited, so grandchildren and daemons are found too, and no process of anybody else's. This file imports nothing of
ours.
"""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

VARIABLE = "TEST_RUN_FOLDER"  # not MAILPACT_…: tests of the command keep those from it
# Below the range that the kernel takes for outgoing connections: else one of those may sit on a stopped server's port.
PORTS = range(20_000, 30_000)
START_SECONDS, STOP_SECONDS, SWEEP_SECONDS, CLEANUP_SECONDS = 90, 30, 30, 90
LOG_TAIL = 2000


def processes_of(folder: Path) -> list[int]:
    """Return the processes that were started in a run's folder. Reads /proc, where another user's are unreadable."""
    entry = f"{VARIABLE}={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or not ours
            continue
        if entry in variables and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def has_ended(process: int) -> bool:
    """Return whether every thread is over. A process that dies gives up its environment first and its ports last."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{process}").glob("task/*/stat")]
    except OSError:  # a thread ended meanwhile
        return False
    return all(text.rpartition(")")[2].split()[0] in {"Z", "X"} for text in threads)


def sweep(folder: Path) -> None:
    """Kill what was started in the folder, and remove it."""
    deadline = time.monotonic() + SWEEP_SECONDS
    dying: set[int] = set()
    while time.monotonic() < deadline:
        living = processes_of(folder)
        dying = {process for process in (*dying, *living) if not has_ended(process)}
        if not dying:
            break
        for process in living:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


class NoFreePort(Exception):
    """A thousand ports were tried and none was free; something on this machine takes them all."""


class RunFolder:
    """A temporary folder (mode 0700), the ports reserved for it, and the keeper that cleans up after it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mailpact-test-")).resolve()
        self._reservations: list[socket.socket] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # A run within a run, as a worker's is: its keeper is not to be swept with what it keeps.
            env={name: text for name, text in os.environ.items() if name != VARIABLE},
            start_new_session=True,  # Ctrl-C and a killed process group are the run's end, not the keeper's
        )

    def folder(self, name: str) -> Path:
        """Make a new folder in this one; its name begins with the given one."""
        path = self.path / f"{name}-{secrets.token_hex(4)}"
        path.mkdir()
        return path

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return these variables and the one by which the keeper knows a process: the whole environment of a server."""
        basis = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        return basis | dict(variables) | {VARIABLE: str(self.path)}

    def reserve_port(self) -> int:
        """Return a TCP port of 127.0.0.1 that no other run of these tests takes; raise NoFreePort when all are taken.

        The reservation is a name in Linux's abstract socket space: it leaves no file and ends with this process.
        """
        for port in random.choices(PORTS, k=1000):
            reservation = socket.socket(socket.AF_UNIX)
            try:
                reservation.bind(f"\0mailpact-test-port-{port}")
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                reservation.close()
                continue
            self._reservations.append(reservation)
            return port
        raise NoFreePort(f"no free TCP port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")

    def close(self) -> None:
        """Let the keeper end everything, as it would if this process died, and wait until it has."""
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper.wait(timeout=CLEANUP_SECONDS)
        if self.path.exists():  # the keeper was killed
            sweep(self.path)
        for child in self.children:
            child.wait()
        for reservation in self._reservations:
            reservation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ServerDied(Exception):
    """A server ended while it was to start; the message carries the end of its output."""


class PrivateProcess:
    """A process in a session of its own, working in `folder`; RunFolder's keeper ends the process if nobody else does.

    The name of its file of output is `log`. A process that has ended can be begun anew.
    """

    def __init__(self, run: RunFolder, folder: Path) -> None:
        self._run, self._folder = run, folder

    def begin(self, words: Sequence[str], variables: Mapping[str, str], log: str) -> Self:
        """Start the program with nothing but the given environment."""
        self.log_file = self._folder / log
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                words,
                env=self._run.environment(variables),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._run.children.append(self._process)
        return self

    @property
    def pid(self) -> int:
        """Return the process id; a new one after each start."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return what the process wrote since this start."""
        return self.log_file.read_bytes()[self._log_start :].decode(errors="replace")

    def wait_until(self, what: str, fact: Callable[[], bool]) -> None:
        """Wait for a fact; raise ServerDied when the process ends, TimeoutError after 90 s."""
        deadline = time.monotonic() + START_SECONDS
        while not fact():
            if not self.is_running:
                raise ServerDied(f"{self.log_file.name} ended before {what}:\n{self.log()[-LOG_TAIL:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {START_SECONDS} s until {what}:\n{self.log()[-LOG_TAIL:]}")
            time.sleep(0.02)

    def wait(self) -> int:
        """Wait until the process ends, and return the exit code; raise TimeoutExpired after 90 s."""
        return self._process.wait(timeout=START_SECONDS)

    def stop(self) -> None:
        """Ask the process to stop, and wait; kill it after 30 s."""
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # A subclass's `kill` may first ask the server for something, and this one answers no more.
            PrivateProcess.kill(self)

    def kill(self) -> None:
        """Kill the process as a power cut would (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stop the process (SIGSTOP): connections stay open and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on; do nothing if it is not frozen or has ended."""
        self._process.send_signal(signal.SIGCONT)


def greeting(port: int, *, sent: bytes = b"", length: int = 1) -> bytes:
    """Return the first bytes that a server on this machine says, after it was sent some; nothing if none answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(sent)
            return connection.recv(length)
    except OSError:
        return b""


if __name__ == "__main__":
    sys.stdin.buffer.read()
    sweep(Path(sys.argv[1]))
