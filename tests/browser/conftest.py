"""Fixtures: site and capture server with some captured mail, and a real Chromium that opens their pages."""

import os
import re
import smtplib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.command import MAILPACT, environment
from tests.polyglot.workshops import Node, NotAvailable
from tests.toolchains import skip_without

PATIENCE_SECONDS = 30
HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'


@dataclass(frozen=True)
class Places:
    """The URLs of site and viewer; `data` is the folder of their databases."""

    site: str
    viewer: str
    mail_port: int
    data: Path


def mail(subject: str | None, text: str, sender: str = "Ada Lovelace <ada@example.org>") -> bytes:
    """Return one mail."""
    message = EmailMessage()
    message["From"], message["To"] = sender, "reader@example.org"
    if subject is not None:
        message["Subject"] = subject
    message.set_content(text)
    return message.as_bytes()


MAILS = (
    mail("Your invoice", "Dear reader,\n\nsee https://example.org/invoice?id=1&x=2.\n"),
    mail("Привет, мир! " * 15, "x" * 3000),
    mail(None, ""),
    mail(HOSTILE, f"{HOSTILE}\njavascript:alert(1)\nhttps://x.org/\"onclick=\"alert(1)", '"<b>x</b>" <x@x.org>'),
    mail("A subject without a single space " + "W" * 150, "text"),
)  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Yield site and viewer of a `mailpact up` that has captured some mail."""
    with up(tmp_path_factory.mktemp("up")) as running:
        yield running


@contextmanager
def up(folder: Path, *options: str) -> Iterator[Places]:
    """Run `mailpact up` with these options in the folder, and capture some mail."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*MAILPACT, "up", "--cms-listen", "127.0.0.1:0",
             "--viewer-listen", "127.0.0.1:0", "--smtp-listen", "127.0.0.1:0", *options],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=environment(),
        )  # fmt: skip
    try:
        said = _wait_until_up(process, folder / "log")
        port = int(said["mail"].rpartition(":")[2])
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            for each in MAILS:
                client.sendmail("bounce@example.org", ["reader@example.org", "hidden@example.org"], each)
        yield Places(site=said["site"], viewer=said["viewer"], mail_port=port, data=folder / ".mailpact")
    finally:
        process.kill()
        process.wait()


def _wait_until_up(process: "subprocess.Popen[bytes]", log: Path) -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "Ctrl-C" not in (text := log.read_text()):
        assert process.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return dict(re.findall(r"^(site|viewer|mail) +(\S+)$", text, re.MULTILINE))


@pytest.fixture
def mail_port(places: Places) -> int:
    """Return the port of the capture server's SMTP."""
    return places.mail_port


@pytest.fixture(
    scope="module"
)  # a longer scope would put its event loop in the way of tests that have their own
def browser(chromium: Any) -> Iterator[Browser]:
    """Yield a headless Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium.path,
            env={**os.environ, **chromium.environment},
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    """Return the source of axe-core, from npm."""
    try:
        folder = Node().folder
    except NotAvailable as error:
        skip_without(pytestconfig, str(error))
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
