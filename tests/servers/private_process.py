"""One server process of our own: started with nothing but the given environment, its output in a file."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.servers.run_folder import RunFolder

START_SECONDS = 90
STOP_SECONDS = 30
LOG_TAIL = 2000


class ServerDied(Exception):
    """A server ended while it was to start; the message carries the end of its output."""


class PrivateServer:
    """A server that is one private process at a time; whoever starts it sets `_process`."""

    _process: "PrivateProcess"

    @property
    def pid(self) -> int:
        """The server's process id, a new one after each start."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server's process has not ended."""
        return self._process.is_running

    def stop(self) -> None:
        """Shut the server down in order."""
        self._process.stop()

    def kill(self) -> None:
        """Kill the server as a power cut would."""
        self._process.kill()

    def freeze(self) -> None:
        """Hold the server: connections stay half-open until `thaw`."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._process.thaw()


class PrivateProcess:
    """A process in a session of its own, working in `folder`; RunFolder's keeper ends it if nobody else does."""

    def __init__(
        self,
        run: RunFolder,
        folder: Path,
        words: Sequence[str],
        variables: Mapping[str, str],
        log: str,
    ) -> None:
        self.log_file = folder / log
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            self._process = run.start(words, variables, folder=folder, output=output)

    @property
    def pid(self) -> int:
        """The process id; the server itself, not a script around it."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return what it wrote since this start."""
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
        """Wait for its own end; give the exit code, raise TimeoutExpired after 90 s."""
        return self._process.wait(timeout=START_SECONDS)

    def stop(self) -> None:
        """Ask it to stop, and wait; one that has not after 30 s is killed."""
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it as a power cut would (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Hold it (SIGSTOP): connections stay open and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; does nothing to one that is not frozen or has ended."""
        self._process.send_signal(signal.SIGCONT)
