"""`mailpact status ID` with the site's database and the capture server: the whole journey, or that nothing is known."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from aiohttp import web

from mailpact.amqp.messages import Message
from mailpact.database.engine import open_database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.inbox import Inbox
from mailpact_producer.relay_plan import Published
from mailpact_producer.store import outbox, schema
from tests import command

ID = "0b6f2a7e-6a53-4d1c-9a58-0c6f6a1d2e3f"
EVIL = "\x1b[31m[bold]x[/bold]"
JOURNEY: dict[str, Any] = {
    "message_id": ID,
    "listening_since": "2026-11-28T10:00:00.000Z",
    "copies": 2,
    "known_as": [],
    "asked": [
        {
            "contract": "email/2",
            "type": "email.v2",
            "producer": "shop",
            "made_at": "2026-11-28T10:00:01Z",
            "seen_at": "2026-11-28T10:00:02.000Z",
            "body": '{"subject": "Hello"}',
            "defect": None,
            "compared": [
                {"what": "subject", "asked": "Hello", "sent": "Bye", "verdict": "different"},
                {"what": "text", "asked": "One", "sent": "One", "verdict": "same"},
            ],
        }
    ],
    "events": [
        {"event": "deferred", "attempt": 1, "occurred_at": "2026-11-28T10:00:03Z", "smtp": {"code": 451, "reply": EVIL}}
    ],
    "records": [{"timestamp": "2026-11-28T10:00:04Z", "level": "info", "service": "consumer", "event": "mail sent"}],
    "mails": [
        {"recipient": "a", "same_bytes": False, "copies": [{"id": "A" * 22, "received_at": "2026-11-28T10:00:05Z"}] * 2}
    ],
}  # fmt: skip


@pytest.fixture
async def viewer() -> AsyncIterator[str]:
    """Yield the URL of a namespace of a capture server that has received one message."""

    async def journey(request: web.Request) -> web.Response:
        if request.match_info["id"] == ID:
            return web.json_response(JOURNEY)
        nothing = {"asked": [], "events": [], "records": [], "mails": [], "known_as": [], "copies": 0}
        return web.json_response(nothing | {"listening_since": "2026-11-28T10:00:00.000Z"}, status=404)

    async def other(_request: web.Request) -> web.Response:
        return web.Response(text="404 page not found", status=404)

    app = web.Application()
    app.router.add_get("/ns/x/api/mailpact/v1/journey/{id}", journey)
    app.router.add_get("/other/{rest:.*}", other)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/ns/x"
    await runner.cleanup()


@pytest.fixture
async def databases(tmp_path: Path) -> list[str]:
    """Return the options that name an empty inbox, and an outbox with one confirmed message."""
    inbox_url, site_url = (DatabaseUrl(f"sqlite:///{tmp_path / name}") for name in ("inbox.db", "cms.db"))
    async with open_database(inbox_url) as database:
        await Inbox(database, "o").prepare()
    message = Message(body=b"{}", message_id=ID, timestamp=datetime(2026, 11, 28, 10, 0, tzinfo=UTC))
    async with open_database(site_url) as database:
        await schema.prepare(database)
        await database.transact(lambda connection: outbox.enqueue(connection, message, contract="email/2"))
        (row,) = await database.transact(lambda connection: outbox.claim(connection, token="t", limit=1))
        await database.transact(
            lambda connection: outbox.settle(connection, [(row.id, Published())], token="t")
        )
    return ["--inbox-url", inbox_url.url, "--database-url", site_url.url]


async def status(*words: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(command.run, "status", *words)


async def test_journey_is_told_from_the_commit_to_the_mail(databases: list[str], viewer: str) -> None:
    done = await status(ID.upper(), *databases, "--viewer-url", viewer)

    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "2026-11-28T10:00:00+00:00", "confirmed", "email/2", "shop", '"subject": "Hello"',
        "DIFFERENT subject: asked 'Hello', sent 'Bye'", "deferred, attempt 1", "log of consumer, info: mail sent",
        "captured, 2 times, and the copies differ", "times published",
    ):  # fmt: skip
        assert words in done.stdout
    assert "\x1b" not in done.stdout
    assert "[bold]x[/bold]" in done.stdout


async def test_json_holds_all_three_sources(databases: list[str], viewer: str) -> None:
    done = await status(ID, *databases, "--viewer-url", viewer, "--json")

    told = json.loads(done.stdout)
    assert (told["mails"], told["journey"]) == ([], JOURNEY)
    assert (told["site"]["state"], told["site"]["contract"]) == ("published", "email/2")


async def test_message_that_nobody_knows_is_exit_code_1(databases: list[str], viewer: str) -> None:
    done = await status("7c1d8e2f-0000-4000-8000-000000000000", *databases, "--viewer-url", viewer)

    assert done.returncode == 1
    assert "No message seen by the capture server since" in done.stdout
    assert "The site's outbox does not have the message" in done.stdout


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://127.0.0.1:1", 3), ("OTHER", 3), ("ftp://x", 2), ("http://", 2), ("secret\nurl", 2)],
)
async def test_viewer_that_is_none_is_one_line(
    databases: list[str], viewer: str, url: str, code: int
) -> None:
    done = await status(
        ID, *databases, "--viewer-url", url.replace("OTHER", viewer.replace("/ns/x", "/other"))
    )

    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert "secret" not in done.stderr
