"""The mails of email/2, read by a parser that is not Python's: Go's net/mail and mime."""

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts.parse import JsonObject, parse
from mailpact_consumer.email_2 import FilledTemplate, Order, Policy, read_email_2
from mailpact_consumer.mail import Content
from mailpact_consumer.mailbox import Identities, Mailbox
from mailpact_consumer.render_mail import render_mail
from tests.polyglot.workshops import BUILD_SECONDS
from tests.unit.consumer.mails import body_of, comparable, expected_by, load, vectors

pytestmark = [pytest.mark.timeout(BUILD_SECONDS), pytest.mark.xdist_group("polyglot")]

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SOURCE = Path(__file__).parent / "go" / "mail.go"
HARD = [
    {
        "subject": "=?utf-8?q?x?= 狐" * 10,
        "text": "\r\x00\x0c\u2028 trailing \n.\nFrom x\n=_\n",
        "html": "é" * 3000,
    },
    {"subject": "x  y", "text": "a" * 5000, "html": "<p>" + "狐" * 5000},
]
NAMES = [
    "狐" * 128,
    '"' * 128,
    "a\\",
    "x, <y@z.example>",
    "=?utf-8?q?x?=",
    "Ann  Reader",
    "\u00a0x",
    "(comment)",
]
FILES = [
    "狐" * 128,
    'a"; filename="b.exe',
    "utf-8''a%20b.txt",
    "x  y.txt",
    "=?utf-8?q?x?=.txt",
    "'",
    "a" * 128,
]


class OneTemplate:
    """A template that answers to every name."""

    def fill(self, name: str, version: int, locale: str, data: JsonObject) -> FilledTemplate:
        return FilledTemplate(Content("s", "text", "html"), digest="d")


def rendered(body: bytes) -> bytes:
    policy = Policy(Mailbox("cms@mail.example"), Identities.of(["shop@mail.example"]), OneTemplate())
    order = read_email_2(parse(body, max_bytes=2**21, max_depth=32), policy, now=NOW)
    assert isinstance(order, Order)
    return render_mail(order.mail, date=NOW, boundary="b").with_message_id("<id@mail.example>")


def read_by_go(command: list[str], mails: list[bytes]) -> list[dict[str, Any]]:
    text = b"".join(base64.b64encode(mail) + b"\n" for mail in mails)
    done = subprocess.run(command, input=text, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def as_vector(said: dict[str, Any]) -> dict[str, Any]:
    for key in ("from", "reply_to"):
        if key in said:
            (said[key],) = said[key]
    for key in ("text", "html"):
        if key in said:
            said[key] = comparable(said[key])
    return said


def test_go_reads_every_vectors_mail_as_the_vector_has_it(go) -> None:
    loaded = [load(path) for path in vectors("valid")]

    answers = read_by_go(go.program("mail", SOURCE.read_text()), [rendered(body_of(one)) for one in loaded])

    for vector, said in zip(loaded, answers, strict=True):
        expected = {"from": {"address": "cms@mail.example"}, **expected_by(vector)}
        if "template" in expected:
            continue  # the vector does not state what the template contains
        for file in expected.get("attachments", []):
            del file["content_type"]  # the vector's `structure` states the content type
        for each in (expected, said):
            each.get("attachments", []).sort(key=lambda file: file["filename"])
        assert as_vector(said) == expected


def test_go_reads_hard_texts_names_and_file_names_as_they_were(go) -> None:
    asked = [
        {
            **HARD[n % len(HARD)],
            "to": [{"address": "a@b.example", "name": name}, {"address": "c@d.example"}],
            "attachments": [{"filename": file, "content_type": "application/pdf", "content": "YQ=="}],
        }
        for n, (name, file) in enumerate(zip(NAMES, [*FILES, "b"], strict=True))
    ]

    answers = read_by_go(
        go.program("mail", SOURCE.read_text()), [rendered(json.dumps(one).encode()) for one in asked]
    )

    for one, said in zip(asked, answers, strict=True):
        assert said["subject"] == one["subject"]
        assert said["to"] == one["to"]
        assert said["attachments"][0]["filename"] == one["attachments"][0]["filename"]
        for key in ("text", "html"):
            assert comparable(said[key]) == comparable(one[key])
