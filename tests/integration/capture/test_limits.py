"""Each request that costs memory or time has a limit on every route, and reading a source does not parse the mail."""

import asyncio
import base64
import io
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from mailpact_capture import feed as feeds
from mailpact_capture import limits, reads
from mailpact_capture import store as stores
from mailpact_capture.api import wait
from mailpact_capture.envelope import Envelope
from mailpact_capture.feed import Feed
from mailpact_capture.writes import Arrival, Limit

WAIT = "/api/mailpact/v1/wait?query=subject:x&timeout=60"
MAIL = b"Subject: x\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/messages"),
        ("DELETE", "/api/v1/messages"),
        ("PUT", "/api/v1/tags"),
        ("PUT", "/api/v1/tags/a"),
        ("PUT", "/api/v1/chaos"),
        ("PUT", "/api/mailpact/v1/faults"),
    ],
)
async def test_body_over_the_limit_is_refused_on_every_route(server: Any, method: str, path: str) -> None:
    await server.send(MAIL)
    body = io.BytesIO(b" " * (limits.MAX_JSON_BYTES + 1))

    async with server.web.request(method, server.url + path, data=body) as answer:
        assert answer.status == 413
    assert (await server.json("/api/v1/messages"))["unread"] == 1


async def test_mails_over_the_limit_of_all_together_are_put_off_by_http_too(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Text": "x" * 200}
    with monkeypatch.context() as patch:
        patch.setattr(limits, "MAX_BYTES_IN_FLIGHT", 100)
        async with server.web.post(server.url + "/api/mailpact/v1/import", data=MAIL * 10) as imported:
            statuses = [imported.status]
        sent = await server.change("POST", "/api/v1/send", letter)

    assert [*statuses, sent] == [503, (503, {"Error": "too much mail at once, try again later"})]
    for _ in range(2):  # bytes of a refused request do not count any more
        assert (await server.change("POST", "/api/v1/send", letter))[0] == 200


async def test_upload_that_is_never_finished_does_not_count_for_ever(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(limits, "MAX_BYTES_IN_FLIGHT", 100)
    host, port = str(server.url).removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(
        b"POST /api/mailpact/v1/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n" + b"x" * 90
    )
    async with asyncio.timeout(60):
        answer = await reader.readline()
    writer.close()

    assert answer.split(b" ")[1] == b"408"
    await server.send(MAIL)
    assert (await server.json("/api/v1/messages"))["total"] == 1


async def test_large_attachment_that_is_sent_by_http_comes_out_as_it_was(server: Any) -> None:
    content = bytes(range(256)) * 1000
    attached = {"Content": base64.b64encode(content).decode(), "Filename": "a.bin"}
    letter = {"From": {"Email": "a@x.org"}, "To": [{"Email": "b@x.org"}], "Attachments": [attached]}

    status, answer = await server.change("POST", "/api/v1/send", letter)
    _, raw, _ = await server.get(f"/api/v1/message/{answer['ID']}/raw")
    _, part, _ = await server.get(f"/api/v1/message/{answer['ID']}/part/2")

    assert (status, part == content) == (200, True)
    assert max(map(len, raw.splitlines())) <= 78


async def test_waiters_over_the_limit_are_told_so_and_the_others_are_answered(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "MAX_WAITING", 3)
    waiting = [asyncio.ensure_future(server.get(WAIT)) for _ in range(4)]
    done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    await server.send(MAIL)

    assert [each.result()[0] for each in done] == [503]
    assert [status for status, _, _ in await asyncio.gather(*others)] == [200] * 3


async def test_followers_over_the_limit_are_told_so(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_SUBSCRIBERS", 1)
    async with server.web.get(server.url + "/api/mailpact/v1/events") as following:
        statuses = [(await server.get("/api/mailpact/v1/events"))[0]]

        assert (following.status, statuses) == (200, [503])


@pytest.mark.parametrize("path", ["raw", "headers"])
async def test_source_of_a_mail_is_given_without_parsing_the_mail(
    server: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    await server.send(MAIL)

    def parse(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(reads, "parse", parse)

    assert (await server.get(f"/api/v1/message/latest/{path}"))[0] == 200
    assert (await server.get("/api/v1/message/latest"))[0] == 500, "this one is parsed"


async def test_mail_is_stored_while_a_reader_is_slow(tmp_path: Path) -> None:
    go_on = threading.Event()

    def slow(connection: sqlite3.Connection) -> int:
        rows = connection.execute("SELECT 1 FROM mail")
        go_on.wait(60)
        return len(rows.fetchall())

    async with stores.opened(
        tmp_path / "mails.db", feed=Feed("x"), limit=Limit(10, 10_000), tell=lambda _: None
    ) as store:
        reading = [asyncio.ensure_future(store.ask(slow)) for _ in range(stores.READERS)]
        for number in range(3):
            envelope = Envelope("a@x.org", ("b@x.org",), "me", "127.0.0.1:1", number)
            async with asyncio.timeout(30):
                await store.keep(Arrival(f"{number:022}", envelope, MAIL))
        assert not any(each.done() for each in reading)
        go_on.set()
        await asyncio.gather(*reading)
