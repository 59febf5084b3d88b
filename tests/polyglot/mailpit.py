"""A real Mailpit, built once by `go install`; the capture server is tested and measured beside it."""

import fcntl
import os
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests import toolchains

MODULE = "github.com/axllent/mailpit@v1.33.1"
BUILD_SECONDS, START_SECONDS = 900, 60


class NoMailpit(Exception):
    """Mailpit cannot be built on this machine; the message says why."""


def program() -> Path:
    """Return the program, built in the user's cache; raises NoMailpit."""
    go = toolchains.installed("go")
    if go is None:
        raise NoMailpit(toolchains.missing("go", "Go"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mailpact-polyglot" / MODULE.rpartition("/")[2].replace("@", "-")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "mailpit").exists():
            variables = {"GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"}
            done = subprocess.run(
                [go, "install", MODULE],
                env=os.environ | variables,
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
            if done.returncode:
                raise NoMailpit(f"`go install {MODULE}` fails: {done.stderr.strip()[-500:]}")
    return folder / "mailpit"


class Mailpit:
    """A running Mailpit with an empty store."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.smtp_port, web_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{web_port}"
        words = [
            "--smtp", f"127.0.0.1:{self.smtp_port}", "--listen", f"127.0.0.1:{web_port}", "--max", "0", "--quiet",
            "--database", str(folder / "mailpit.db"), "--enable-chaos", "--disable-version-check",
        ]  # fmt: skip
        with (folder / "mailpit.log").open("w") as log:
            self.process = subprocess.Popen(
                [path, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait(folder / "mailpit.log")

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urlopen(f"{self.url}/readyz", timeout=5):
                    return
            except (URLError, OSError):
                assert self.process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop Mailpit."""
        self.process.terminate()
        self.process.wait(START_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:  # Mailpit takes no port 0
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
