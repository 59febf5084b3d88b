"""pytest fixtures for tests of programs that send mail.

    def test_welcome(mailbox, capture):
        my_program.send_welcome(to=mailbox.address(), smtp_port=capture.smtp_port)

        mail = mailbox.wait_for(subject="Welcome")
        assert mail.codes == ("123456",)

pytest loads this file in every environment with Mailpact, so the module imports only modules that load fast.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from mailpact_capture.client import CaptureClient, Mailbox

START_SECONDS: Final = 60
LOOK_SECONDS: Final = 0.02
STOP_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class CaptureServer:
    """A running capture server: the address to which your program sends mail, and the client that reads the mail."""

    smtp_host: str
    smtp_port: int
    client: CaptureClient


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name a server that is already running."""
    group = parser.getgroup("mailpact")
    group.addoption(
        "--capture-url",
        metavar="URL",
        help="the viewer of a running capture server; without it one is started",
    )
    group.addoption(
        "--capture-smtp",
        metavar="HOST:PORT",
        default="127.0.0.1:1025",
        help="where that server takes mail (default 127.0.0.1:1025)",
    )


@pytest.fixture(scope="session")
def capture(pytestconfig: pytest.Config) -> Iterator[CaptureServer]:
    """Yield a capture server for all tests: the server of `--capture-url`, or a new server for the test run."""
    url = pytestconfig.getoption("--capture-url")
    if url:
        place = urlsplit(f"//{pytestconfig.getoption('--capture-smtp')}")
        yield CaptureServer(place.hostname or "127.0.0.1", place.port or 1025, CaptureClient(url))
        return
    with started() as server:
        yield server


@pytest.fixture
def mailbox(capture: CaptureServer) -> Iterator[Mailbox]:
    """Yield a mailbox for one test; tests that run at the same time do not see its mails."""
    own = capture.client.mailbox()
    yield own
    own.delete_all()


@contextmanager
def started() -> Iterator[CaptureServer]:
    """Run a capture server on free ports, with its mails in a temporary file."""
    command = [
        sys.executable,
        "-m",
        "mailpact_cli",
        "capture",
        "--smtp",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ]
    with tempfile.TemporaryDirectory(prefix="mailpact-") as folder:
        log = Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            port, url = _places(process, log)
            yield CaptureServer("127.0.0.1", port, CaptureClient(url))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _places(process: "subprocess.Popen[bytes]", log: Path) -> tuple[int, str]:
    deadline = time.monotonic() + START_SECONDS
    while True:
        said = log.read_text(errors="replace")
        smtp = re.search(r"taking mail on smtp://127\.0\.0\.1:(\d+)", said)
        web = re.search(r"showing mail on (http://[\d.:]+)/", said)
        if smtp and web:
            return int(smtp[1]), web[1]
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the capture server does not start:\n{said}")
        time.sleep(LOOK_SECONDS)
