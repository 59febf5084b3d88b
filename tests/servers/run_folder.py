"""The folder of everything that one process of a test run starts, and the keeper, which removes the folder afterwards.

The keeper is this file as a program, `python run_folder.py FOLDER`, with a pipe from the run as its standard input. The
pipe ends when the run's process ends for any reason, also after SIGKILL. Then the keeper kills every process whose
environment has TEST_RUN_FOLDER=FOLDER, waits for their end, and removes FOLDER. Processes inherit the environment, so
the keeper also finds grandchildren and daemons, and nobody else's processes. This file imports nothing of ours.
"""

import os
import random
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

VARIABLE = "TEST_RUN_FOLDER"  # not MAILPACT_…: tests of the command remove those from the environment
# Outgoing connections use the kernel's range above these ports, so none of them can take a stopped server's port.
PORTS = range(20_000, 30_000)
START_SECONDS, STOP_SECONDS, SWEEP_SECONDS, CLEANUP_SECONDS = 90, 30, 30, 90


def processes_of(folder: Path) -> list[int]:
    """Return the processes that were started in a run's folder."""
    entry = f"{VARIABLE}={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has ended, or belongs to another user
            if entry in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def sweep(folder: Path) -> None:
    """Kill all processes of the folder, wait until they have ended, and remove the folder."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        for process in found:
            with suppress(ProcessLookupError), os.fdopen(os.pidfd_open(process)) as handle:
                signal.pidfd_send_signal(handle.fileno(), signal.SIGKILL)
                select.select([handle], [], [], SWEEP_SECONDS)  # until the last thread has closed its ports
    shutil.rmtree(folder, ignore_errors=True)


class RunFolder:
    """A temporary folder (mode 0700), the ports that the run has reserved, and the keeper, which removes the folder."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mailpact-test-")).resolve()
        self.password = secrets.token_hex(12)
        """The password of each server of the run."""
        self.children: list[subprocess.Popen[bytes]] = []
        self._reservations = ExitStack()
        # A worker runs within another run: without the variable the outer keeper does not kill the inner keeper.
        environment = {name: text for name, text in os.environ.items() if name != VARIABLE}
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,  # Ctrl-C ends the run, not the keeper
        )

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of a server: the usual variables, the given ones, and the keeper's variable."""
        usual = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        return usual | dict(variables) | {VARIABLE: str(self.path)}

    def call(self, words: Sequence[str], variables: Mapping[str, str], text: str = "") -> str:
        """Run a program to its end, with a text as its input; return its output, or raise ChildProcessError."""
        done = subprocess.run(
            words,
            input=text,
            env=self.environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
            timeout=START_SECONDS,
        )
        if done.returncode:
            raise ChildProcessError(f"{words[0]} failed:\n{done.stdout[-2000:]}")
        return done.stdout

    def reserve_port(self) -> int:
        """Return a TCP port of 127.0.0.1 that is free and that no other run can reserve; raise OSError if none is free.

        The reservation is an abstract Unix socket: the socket leaves no file and ends with this process.
        """
        for port in random.sample(PORTS, k=1000):
            reservation = self._reservations.enter_context(socket.socket(socket.AF_UNIX))
            with suppress(OSError), socket.socket() as probe:
                reservation.bind(f"\0mailpact-test-port-{port}")
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return port
        raise OSError(f"no free TCP port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")

    def close(self) -> None:
        """Make the keeper end all processes and remove the folder, and wait until the keeper has ended."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=CLEANUP_SECONDS)
        if self.path.exists():  # the keeper was killed
            sweep(self.path)
        for child in self.children:
            child.wait()
        self._reservations.close()


class PrivateProcess:
    """A program in a session and a folder of its own, which can be started again after its end."""

    def __init__(self, run: RunFolder, name: str) -> None:
        self._run, self._folder = run, run.path / f"{name}-{secrets.token_hex(4)}"
        self._folder.mkdir()
        self.log_file = self._folder / "log"

    def begin(self, words: Sequence[str], variables: Mapping[str, str]) -> Self:
        """Start the program with only the given environment; its output replaces the content of the log file."""
        with self.log_file.open("wb") as output:
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
        """Return the process id, which changes with each start."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_until(self, what: str, fact: Callable[[], bool]) -> None:
        """Wait for a fact; raise ChildProcessError when the process ends before that, or after 90 s."""
        deadline = time.monotonic() + START_SECONDS
        while not fact():
            if not self.is_running or time.monotonic() > deadline:
                happened = f"{START_SECONDS} s passed" if self.is_running else "the process ended"
                raise ChildProcessError(f"{happened} before {what}:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask the process to stop, and wait; kill it after 30 s."""
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            PrivateProcess.kill(self)  # the `kill` of a subclass may wait for the server's answer

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Pause the process with SIGSTOP: its connections stay open, and the process does not answer."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a paused process continue (SIGCONT); do nothing if the process is not paused or has ended."""
        self._process.send_signal(signal.SIGCONT)


def greeting(port: int, *, sent: bytes = b"", length: int = 1) -> bytes:
    """Send bytes to a server on this machine; return the first bytes of its answer, or nothing without an answer."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(sent)
        return connection.recv(length)
    return b""


if __name__ == "__main__":
    sys.stdin.buffer.read()
    sweep(Path(sys.argv[1]))
