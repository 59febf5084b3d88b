"""Checks that the programs on the pages must pass, the same ones for each language."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.polyglot.pages import run
from tests.polyglot.questions import CONTRACTS
from tests.polyglot.services import Broker, RunningSystem

WRITER_SCHEMA = CONTRACTS / "email/1/writer.schema.json"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TAKEN = '{"email": "ada@example.org", "message": "Hello"}'
REFUSED = (
    '{"email": "ada@example.org", "message": ""}',
    '{"email": "Ada <ada@example.org>", "message": "Hello"}',
    '{"email": "ada@example.org\\n", "message": "Hello"}',
    '{"email": "ada@example.org", "message": "Hello", "subject": "Hello"}',
    '{"email": "ada@example.org"}',
    '{"email": "%s", "message": "Hello"}' % ("a." * 30_000),
    "[]",
)


def sends_exactly_its_mail(
    command: Sequence[str], title: str, running_system: RunningSystem, folder: Path
) -> None:
    """Assert that a program publishes one message with the contract's properties, and that it becomes one mail."""
    with running_system.copies() as copies:
        done = run(command, folder, AMQP_URL=running_system.url)
    assert done.returncode == 0, done.stderr

    (copy,) = copies
    (mail,) = running_system.mails(f"Hello from {title}")
    assert (copy.type, copy.content_type, copy.delivery_mode) == ("email.v1", "application/json", 2)
    assert UUID.fullmatch(copy.message_id)
    assert abs(copy.timestamp - time.time()) < 60
    assert copy.app_id == "my-service"
    assert shown(mail) == {
        "to": ["ada@example.org"],
        "message_id": copy.message_id,
        "text": f"Hello from {title}\n\nThe first line is the subject.",
    }


def sends_exactly_its_html(
    command: Sequence[str], title: str, running_system: RunningSystem, folder: Path
) -> None:
    """Assert that a program publishes one message of email/2, and that it becomes one mail with HTML."""
    with running_system.copies() as copies:
        done = run(command, folder, AMQP_URL=running_system.url)
    assert done.returncode == 0, done.stderr

    (copy,) = copies
    (mail,) = running_system.mails(f"Greetings from {title}")
    assert (copy.type, copy.content_type, copy.delivery_mode) == ("email.v2", "application/json", 2)
    assert shown(mail) == {"to": ["ada@example.org"], "message_id": copy.message_id, "text": "Hello Ada."}
    assert (mail["To"][0]["Name"], mail["HTML"].strip()) == ("Ada Lovelace", "<p>Hello <b>Ada</b>.</p>")


def shown(mail: dict[str, Any]) -> dict[str, Any]:
    """Return recipients, id and text of a mail; its Message-ID begins with the id of its message."""
    return {
        "to": [to["Address"] for to in mail["To"]],
        "message_id": mail["MessageID"].partition(".")[0],
        "text": mail["Text"].replace("\r\n", "\n").rstrip("\n"),
    }


def fails_in(trouble: str, command: Sequence[str], broker: Broker, folder: Path) -> None:
    """Assert that a program exits with status 1 and an error text if the broker does not take its message."""
    with broker.trouble(trouble):
        done = run(command, folder, AMQP_URL=broker.url)

    assert done.returncode == 1
    assert done.stderr != ""


def tells_valid_from_invalid(command: Sequence[str], folder: Path) -> None:
    """Assert that a program accepts valid messages and refuses invalid ones by the writer's schema."""
    (folder / WRITER_SCHEMA.name).write_bytes(WRITER_SCHEMA.read_bytes())

    assert run(command, folder, text=TAKEN).returncode == 0
    for text in REFUSED:
        done = run(command, folder, text=text)
        assert (done.returncode, "StackOverflow" in done.stderr) == (1, False), text[:80]
        assert done.stderr != "", text[:80]
