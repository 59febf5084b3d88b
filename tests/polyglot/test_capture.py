"""The capture server with programs in other languages: those on the page, and Mailpit's own client."""

import json
import re
import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.polyglot import mailpit
from tests.polyglot.mailpit import Mailpit, NoMailpit
from tests.polyglot.pages import PAGES, lines_of_code, run
from tests.polyglot.services import Service
from tests.polyglot.workshops import BUILD_SECONDS
from tests.toolchains import skip_without

pytestmark = [pytest.mark.timeout(BUILD_SECONDS), pytest.mark.xdist_group("polyglot")]

PAGE = (PAGES / "wait-for-mail.md").read_text(encoding="utf-8")
MAIL = b"Subject: Welcome\r\n\r\nYour code is 493817. See https://example.org/start.\r\n"
CLIENT = Path(__file__).parent / "node" / "mailpit.mjs"

# Members whose value depends on the mail's own header fields, and the checks that only Mailpit makes.
MAILS_OWN: dict[str, Callable[[Any], Any]] = {
    "getMessageHeaders": lambda answer: {name: answer[name] for name in ("From", "To", "Subject")},
    "htmlCheck": sorted,
}


class Capture:
    """A running capture server."""

    def __init__(self, folder: Path) -> None:
        service = Service(folder / "log", "capture", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0")
        self.stop = service.stop
        self.smtp_port = int(service.said(r"smtp://127\.0\.0\.1:(\d+)"))
        self.url = service.said(r"showing mail on (http://[\d.:]+)")

    def send(self, recipient: str) -> None:
        """Send the mail that the programs wait for."""
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=30) as client:
            client.sendmail("me@example.org", recipient, MAIL)


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capture]:
    running = Capture(tmp_path_factory.mktemp("capture"))
    yield running
    running.stop()


def program(heading: str) -> str:
    """Return the program under a heading of the page."""
    (text,) = re.findall(rf"^## {heading}\n.*?^```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


@pytest.mark.parametrize("heading", ["pytest", "Python", "curl", "Node", "Go"])
def test_programs_are_short(heading: str) -> None:
    lines = [line for line in lines_of_code(program(heading)) if line.strip() != "package main"]

    assert len(lines) <= 10


@pytest.mark.parametrize("heading", ["Python", "curl", "Node", "Go"])
def test_program_on_the_page_gets_its_mail(
    heading: str, captured: Capture, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    captured.send("reader+ns-signup@example.org")

    if heading == "curl":
        command = ["sh", "-c", program(heading)]
    else:
        command = request.getfixturevalue(heading.lower()).program("wait", program(heading))
    done = run(command, tmp_path, CAPTURE_URL=captured.url)

    assert done.stdout.split() == ["https://example.org/start", "493817"], done.stderr


def test_pytest_program_on_the_page_passes(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(program("pytest"))

    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"], tmp_path)

    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def calls(node: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Run every call of the npm package against a server; return the shape of each answer."""
    command = node.program("mailpit", CLIENT.read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("mailpit-api")

    def ask(url: str) -> dict[str, Any]:
        done = subprocess.run(
            command,
            cwd=folder,
            env={"MAILPIT_URL": url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return ask


def test_every_call_of_mailpits_own_client_is_answered(calls: Any, captured: Capture) -> None:
    answers = calls(captured.url)

    made = set(answers["calls"])
    refused = {name for name, answer in answers.items() if str(answer).startswith("refused")}
    assert len(made) == 27
    assert made <= set(answers)
    assert refused == {"releaseMessage", "spamAssassinCheck"}, (
        answers
    )  # as Mailpit, where both are switched off
    assert answers["mails left"] == 0


def test_mailpits_own_client_cannot_tell_us_from_mailpit(
    calls: Any, captured: Capture, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    try:
        path = mailpit.program()
    except NoMailpit as error:
        skip_without(pytestconfig, str(error))
    running = Mailpit(path, tmp_path)
    try:
        theirs = calls(running.url)
    finally:
        running.stop()

    ours = calls(captured.url)
    for name, kept in MAILS_OWN.items():
        for answers in (theirs, ours):
            answers[name] = kept(answers[name])

    assert {name: answer for name, answer in theirs.items() if not _has(ours.get(name), answer)} == {}


def _has(ours: Any, theirs: Any) -> bool:
    """Return whether our answer has each member of the other answer; the content of empty lists and null is unknown."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(_has(ours.get(name), value) for name, value in theirs.items())
    if isinstance(theirs, list) and isinstance(ours, list):
        return not theirs or not ours or _has(ours[0], theirs[0])
    return ours == theirs or theirs == "object"
