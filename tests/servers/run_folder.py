"""The place of all that one process of a test run starts; it goes away with that process, even when that is killed."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.servers import keeper

CLEANUP_SECONDS = 90
# Below the range that the kernel takes for outgoing connections: else one of those may sit on a stopped server's port.
PORTS = range(20_000, 30_000)


class NoFreePort(Exception):
    """A thousand ports were tried and none was free; something on this machine takes them all."""


class RunFolder:
    """A temporary folder (mode 0700), the ports reserved for it, and the keeper that cleans up after it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mailpact-test-")).resolve()
        self._reservations: list[socket.socket] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # A run within a run, as a worker's is: its keeper is not to be swept with what it keeps.
            env={name: text for name, text in os.environ.items() if name != keeper.VARIABLE},
            start_new_session=True,  # Ctrl-C and a killed process group are the run's end, not the keeper's
        )

    def folder(self, name: str) -> Path:
        """Make a new folder in this one; a name that is taken gets a number."""
        number = 1
        path = self.path / name
        while path.exists():
            number += 1
            path = self.path / f"{name}-{number}"
        path.mkdir()
        return path

    def start(
        self, words: Sequence[str], variables: Mapping[str, str], *, folder: Path, output: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own; what it does not end itself, the keeper does."""
        child = subprocess.Popen(
            words,
            env=self.environment(variables),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._children.append(child)
        return child

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return these variables and the one by which the keeper knows a process: the whole environment of a server."""
        basis = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        return basis | dict(variables) | {keeper.VARIABLE: str(self.path)}

    def add_farewell(self, words: Sequence[str]) -> None:
        """Have a command run at the end, first of all."""
        folder = self.path / "farewell"
        folder.mkdir(exist_ok=True)
        (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(words))

    def reserve_port(self) -> int:
        """Return a TCP port of 127.0.0.1 that no other run of these tests takes; raise NoFreePort when all are taken.

        The reservation is a name in Linux's abstract socket space: it leaves no file and ends with this process.
        """
        for _ in range(1000):
            port = random.choice(PORTS)
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
        if self._keeper.stdin and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        self._keeper.wait(timeout=CLEANUP_SECONDS)
        if self.path.exists():  # the keeper was killed
            keeper.sweep(self.path)
        for child in self._children:
            child.wait()
        self._children.clear()
        for reservation in self._reservations:
            reservation.close()
        self._reservations.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


START_SECONDS = 90
STOP_SECONDS = 30
LOG_TAIL = 2000


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
            self._process = self._run.start(words, variables, folder=self._folder, output=output)
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
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

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


def installed(name: str) -> Path | None:
    """Return the path of an installed program, those for administrators included."""
    found = shutil.which(
        name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin:/usr/sbin:/sbin"))
    )
    return Path(found) if found else None
