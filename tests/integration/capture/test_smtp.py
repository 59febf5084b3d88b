"""The stored mail equals the sent mail, and 250 means that the mail is stored."""

import asyncio
import hashlib
import logging
import re
import signal
import smtplib
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mailpact.telemetry import Point
from mailpact_capture import limits
from tests.command import MAILPACT, environment

ENVELOPE = (b"EHLO me\r\n", b"MAIL FROM:<a@x.org>\r\n", b"RCPT TO:<b@x.org>\r\n")


async def raw(server: Any) -> bytes:
    status, content, _ = await server.get("/api/v1/message/latest/raw")
    assert status == 200
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: plain\r\n\r\nhello\r\n",
        b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
        b"Subject: lone\r\n\r\na\rb\nc\r\n",
        b"Bcc: c@x.org\r\n\r\nFrom here on\r\n",
        b"Subject: \xff\xfe\r\n\r\n\x00\x80\r\n",
        b"no header\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 100_000 + b"\r\n",
    ],
    ids=["plain", "dots", "lone", "bcc", "binary", "no header", "long line"],
)
async def test_bytes_are_kept_exactly_as_they_came(server: Any, content: bytes) -> None:
    stuffed = content.replace(b"\r\n.", b"\r\n..")

    answers = await server.say(b"HELO me\r\n", *ENVELOPE[1:], b"DATA\r\n", stuffed + b".\r\n")

    assert answers[-1].startswith(b"250")
    assert hashlib.sha256(await raw(server)).digest() == hashlib.sha256(content).digest()


SMUGGLED_ENDS = [
    b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n", b"\r\n\0.\r\n",
]  # fmt: skip


@pytest.mark.parametrize("end", SMUGGLED_ENDS)
async def test_nothing_else_than_crlf_dot_crlf_ends_a_mail(server: Any, end: bytes) -> None:
    smuggled = b"Subject: one\r\n\r\nx" + end + b"MAIL FROM:<evil@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\ntwo"

    await server.say(b"HELO me\r\n", *ENVELOPE[1:], b"DATA\r\n", smuggled + b"\r\n.\r\n")

    assert (await server.json("/api/v1/messages"))["total"] == 1


async def test_envelope_is_kept_apart_from_the_header(server: Any) -> None:
    content = b"From: A <a@x.org>\r\nTo: b@x.org\r\nBcc: c@x.org\r\n\r\nhi\r\n"

    await server.send(content, to=("b@x.org", "c@x.org", "hidden@x.org"), sender="bounce@x.org")

    mail = await server.json("/api/v1/message/latest")
    assert [address["Address"] for address in mail["Bcc"]] == ["c@x.org", "hidden@x.org"]
    assert mail["ReturnPath"] == "bounce@x.org"
    _, page, _ = await server.get(f"/mail/{mail['ID']}?view=envelope")
    assert b"hidden@x.org" in page


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"MAIL FROM:<a@x.org\rRCPT TO:<e@x.org>>\r\n", b"553"),
        (b"MAIL FROM:<a\0@x.org>\r\n", b"553"),
        (b"MAIL FROM:<a@x.org> SIZE=99999999\r\n", b"501"),
        (b"RCPT TO:<b@x.org>\r\n", b"503"),
        (b"DATA\r\n", b"503"),
        (b"VRFY " + b"x" * 5000 + b"\r\n", b"500"),
    ],
)
async def test_command_that_cannot_be_is_refused(server: Any, command: bytes, code: bytes) -> None:
    answers = await server.say(b"HELO me\r\n", command)

    assert answers[-1].startswith(code), answers


async def test_more_recipients_than_a_mail_may_have_are_refused_one_by_one(server: Any) -> None:
    recipients = [b"RCPT TO:<r%d@x.org>\r\n" % number for number in range(101)]

    answers = await server.say(b"HELO me\r\n", ENVELOPE[1], *recipients)

    assert answers[-2].startswith(b"250")
    assert answers[-1].startswith(b"452")


async def test_clients_over_the_limit_are_told_to_come_back(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.smtp_port)
    first = await reader.readline()

    second = (await server.say())[0]
    writer.close()
    await writer.wait_closed()

    assert (first[:3], second[:3]) == (b"220", b"421")


async def test_no_log_says_who_wrote_what_to_whom(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    await server.send(b"Subject: secret\r\n\r\nsecret\r\n", to=("secret@example.org",), sender="secret@x.org")

    assert "secret" not in caplog.text


async def test_many_clients_at_once_are_all_stored(server: Any) -> None:
    await asyncio.gather(*(server.send(b"Subject: %d\r\n\r\nx\r\n" % number) for number in range(60)))

    listed = await server.json("/api/v1/messages?limit=0")
    assert {mail["Subject"] for mail in listed["messages"]} == {str(number) for number in range(60)}


async def test_capture_of_a_message_is_told_by_its_id(server: Any) -> None:
    message_id = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"

    await server.send(f"Message-ID: <{message_id}.804b82e2@mail.example>\r\n\r\nx\r\n".encode())
    await server.send(b"Message-ID: <other@mail.example>\r\n\r\nx\r\n")

    assert server.reached == [(Point.CAPTURED, message_id)]


async def test_mails_are_there_after_a_restart_and_without_a_store_they_are_not(
    serve: Any, tmp_path: Path
) -> None:
    async with serve(tmp_path / "mails.db") as server:
        await server.send(b"Subject: kept\r\n\r\nx\r\n")

    async with serve(tmp_path / "mails.db") as again, serve(None) as fresh:
        assert (await again.json("/api/v1/messages"))["total"] == 1
        assert (await fresh.json("/api/v1/messages"))["total"] == 0


def test_kill_right_after_the_250_costs_no_mail(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*MAILPACT, "capture", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0",
             "--store", "mails.db"],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=environment(),
        )  # fmt: skip
    deadline = time.monotonic() + 30
    while "showing mail on" not in (said := (tmp_path / "log").read_text()):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
    port = int(re.findall(r"smtp://127\.0\.0\.1:(\d+)", said)[0])
    client = smtplib.SMTP("127.0.0.1", port, timeout=10)

    client.sendmail("a@x.org", "b@x.org", b"Subject: kept\r\n\r\nx\r\n")
    process.send_signal(signal.SIGKILL)

    process.wait()
    client.close()
    database = sqlite3.connect(tmp_path / "mails.db")
    assert database.execute("SELECT subject FROM mail").fetchall() == [("kept",)]
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


@pytest.mark.parametrize("content", [b"not a database at all", b""])
async def test_file_that_is_not_ours_is_left_as_it_was(serve: Any, tmp_path: Path, content: bytes) -> None:
    from mailpact_capture.errors import StoreFileError

    other = tmp_path / "other.db"
    other.write_bytes(content or b"SQLite format 3\0" + bytes(84))
    before = other.read_bytes()

    with pytest.raises(StoreFileError, match=r"other\.db"):
        async with serve(other):
            pass

    assert other.read_bytes() == before
