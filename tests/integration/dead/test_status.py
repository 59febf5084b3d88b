"""`mailpact status` by id and by address, and the marks of `dead list`, on both databases."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from sqlalchemy import insert

from mailpact.database.engine import open_database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.inbox import Inbox
from mailpact_consumer.schema import inbox
from tests import command

A, B = (f"5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a{number}" for number in (11, 22))
SECOND = 1_000_000

Run = Callable[..., Awaitable[CompletedProcess[str]]]


def sha256(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()


@pytest.fixture
async def inbox_url(real_servers: Any, tmp_path: Path) -> DatabaseUrl:
    """Return an inbox with one mail that was sent and one that waits."""
    url = (
        DatabaseUrl(f"sqlite:///{tmp_path / 'inbox.db'}")
        if real_servers is None
        else DatabaseUrl(real_servers.database_url)
    )
    common = {
        "owner": "o",
        "token": "t",
        "uncertain": 0,
        "unanswered": 0,
        "body_sha256": "0" * 64,
        "events": 1,
    }
    rows = [
        common
        | {"message_id": A, "recipient_sha256": sha256("ada@example.org"), "state": "sent", "attempts": 2}
        | {"first_seen": SECOND, "tried_since": SECOND, "ended_at": 61 * SECOND, "next_try_at": None}
        | {"last_reply": "250 2.0.0 queued as 4711", "publisher_id": "order-43"},
        common
        | {"message_id": B, "recipient_sha256": sha256("Ben@example.org"), "state": "deferred", "attempts": 1}
        | {"first_seen": SECOND, "tried_since": SECOND, "ended_at": None, "next_try_at": 11 * SECOND}
        | {"last_reply": "450 4.2.0 greylisted", "publisher_id": None},
    ]
    async with open_database(url) as database:
        await Inbox(database, "o").prepare()
        await database.transact(lambda connection: connection.execute(insert(inbox), rows))
    return url


@pytest.fixture
def mailpact(tmp_path: Path) -> Run:
    """Run `mailpact …` to its end."""

    async def run(*words: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(partial(command.run, *words, cwd=tmp_path))

    return run


@pytest.mark.parametrize("about", [A, A.upper(), "order-43", "ada@example.org", "ada@EXAMPLE.org"])
async def test_a_mail_is_found_by_key_publishers_id_and_address(inbox_url, mailpact, about: str) -> None:
    done = await mailpact("status", about, "--json", "--inbox-url", inbox_url.url)

    (mail,) = json.loads(done.stdout)["mails"]
    assert (done.returncode, done.stderr) == (0, "")
    assert (mail["message_id"], mail["publisher_message_id"], mail["state"]) == (A, "order-43", "sent")
    assert (mail["attempts"], mail["last_reply"]) == (2, "250 2.0.0 queued as 4711")
    assert (mail["first_seen"], mail["ended_at"]) == (
        "1970-01-01T00:00:01+00:00",
        "1970-01-01T00:01:01+00:00",
    )


async def test_a_waiting_mail_says_when_it_is_tried_again(inbox_url, mailpact) -> None:
    done = await mailpact("status", B, "--inbox-url", inbox_url.url)

    assert done.returncode == 0
    assert "deferred: the mail waits" in done.stdout
    assert "1970-01-01T00:00:11" in done.stdout
    assert "450 4.2.0 greylisted" in done.stdout


async def test_an_unknown_mail_is_exit_code_1(inbox_url, mailpact) -> None:
    done = await mailpact("status", "eve@example.org", "--inbox-url", inbox_url.url)

    assert (done.returncode, "has no such mail" in done.stdout) == (1, True)


async def test_no_database_is_one_line_and_makes_no_file(mailpact, tmp_path: Path) -> None:
    missing = tmp_path / "no.db"

    done = await mailpact("status", A, "--inbox-url", f"sqlite:///{missing}")
    away = await mailpact("status", A, "--inbox-url", "mysql+pymysql://u:secret@127.0.0.1:1/x")

    assert (done.returncode, len(done.stderr.splitlines()), missing.exists()) == (2, 1, False)
    assert (away.returncode, len(away.stderr.splitlines()), "secret" in away.stderr) == (3, 1, False)


async def test_dead_list_marks_letters_whose_mail_was_sent(broker, dead, inbox_url) -> None:
    await broker.letter(A, "smtp_permanent", **{"x-recipient": "ada@example.org", "x-mailpact-id": A})
    await broker.letter(B, "smtp_permanent", **{"x-recipient": "Ben@example.org", "x-mailpact-id": B})

    done = await dead("list", "--json", "--inbox-url", inbox_url.url)

    marks = {letter["message_id"]: letter["mail_was_sent"] for letter in json.loads(done.stdout)["letters"]}
    assert marks == {A: True, B: False}
