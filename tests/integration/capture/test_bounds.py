"""The store has limits, reading does not delay the receipt of mail, and errors of the store are reported."""

import asyncio
import contextlib
import os
import socket
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from mailpact_capture import limits
from mailpact_capture.errors import StoreFileError
from mailpact_capture.service import Settings


async def test_oldest_mails_go_when_there_are_too_many(serve: Any, tmp_path: Path) -> None:
    async with serve(tmp_path / "mails.db", Settings(kept_mails=5)) as server:
        for number in range(12):
            await server.send(b"Subject: %d\r\n\r\nx\r\n" % number)
        listed = await server.json("/api/v1/messages")

    assert [mail["Subject"] for mail in listed["messages"]] == ["11", "10", "9", "8", "7"]


async def test_oldest_mails_go_when_there_are_too_many_bytes_and_their_room_is_used_again(
    serve: Any, tmp_path: Path
) -> None:
    async with serve(tmp_path / "mails.db", Settings(kept_bytes=3_000_000)) as server:
        for number in range(12):
            await server.send(b"Subject: %d\r\n\r\n" % number + b"x" * 1_000_000 + b"\r\n")
        listed = await server.json("/api/v1/messages")

    assert [mail["Subject"] for mail in listed["messages"]] == ["11", "10"]
    assert (tmp_path / "mails.db").stat().st_size < 7_000_000


async def test_mail_larger_than_all_that_is_kept_is_kept(serve: Any, tmp_path: Path) -> None:
    async with serve(tmp_path / "mails.db", Settings(kept_bytes=10)) as server:
        await server.send(b"Subject: a\r\n\r\nlong enough\r\n")

        assert (await server.json("/api/v1/messages"))["total"] == 1


async def test_file_is_its_owners_alone(serve: Any, tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        async with serve(tmp_path / "mails.db") as server:
            await server.send(b"Subject: a\r\n\r\nx\r\n")
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in os.scandir(tmp_path)}
    finally:
        os.umask(previous)

    assert set(modes.values()) == {0o600}, modes


async def test_two_servers_on_one_store_show_and_keep_all(serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "mails.db"
    async with serve(path) as one, serve(path) as other:
        async with one.web.get(one.url + "/api/mailpact/v1/wait?query=subject:b&timeout=0") as answer:
            assert answer.status == 204
        await asyncio.gather(one.send(b"Subject: a\r\n\r\nx\r\n"), other.send(b"Subject: b\r\n\r\nx\r\n"))
        async with one.web.get(one.url + "/api/mailpact/v1/wait?query=subject:b&timeout=20") as answer:
            assert answer.status == 200

        assert (await one.json("/api/v1/messages"))["total"] == 2
        assert (await other.json("/api/v1/messages"))["total"] == 2


async def test_damaged_store_says_so(serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "mails.db"
    async with serve(path) as server:
        for _ in range(50):
            await server.send(b"Subject: a\r\n\r\n" + b"x" * 3000 + b"\r\n")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))

    with pytest.raises(StoreFileError, match=r"mails\.db"):
        async with serve(path):
            pass


async def test_store_of_the_first_release_is_named_and_left_alone(serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    database = sqlite3.connect(path)
    database.executescript(
        "PRAGMA application_id = 1297105748; PRAGMA user_version = 1; CREATE TABLE mail (id);"
    )
    database.close()
    before = path.read_bytes()

    with pytest.raises(StoreFileError, match="format 1"):
        async with serve(path):
            pass

    assert path.read_bytes() == before


async def test_full_disk_refuses_mail_and_still_shows_it(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mailpact_capture import tables

    opened: list[sqlite3.Connection] = []
    connect = tables.connect
    monkeypatch.setattr(tables, "connect", lambda *a, **kw: opened.append(connect(*a, **kw)) or opened[-1])
    async with serve(tmp_path / "mails.db") as server:
        await server.send(b"Subject: kept\r\n\r\nx\r\n")
        ready = (await server.get("/readyz"))[0]
        with contextlib.closing(sqlite3.connect(tmp_path / "mails.db")) as database:
            pages = database.execute("PRAGMA page_count").fetchone()[0]
        await server_writes(opened[0], f"PRAGMA max_page_count = {pages}", server)

        answers = await server.say(
            b"HELO me\r\n", b"MAIL FROM:<a@x.org>\r\n", b"RCPT TO:<b@x.org>\r\n", b"DATA\r\n",
            b"Subject: x\r\n\r\n" + b"x" * 100_000 + b"\r\n.\r\n",
        )  # fmt: skip
        status, content, _ = await server.get("/readyz")
        shown = await server.json("/api/v1/message/latest")

    assert (ready, answers[-1][:3], status) == (200, b"452", 503)
    assert b"full" in content
    assert shown["Subject"] == "kept"


async def server_writes(connection: sqlite3.Connection, statement: str, server: Any) -> None:
    """Run a statement on the writing connection, in the thread of that connection."""
    import gc

    from mailpact_capture.store import Store

    (store,) = [
        each
        for each in gc.get_objects()
        if isinstance(each, Store) and each._writer._connection is connection
    ]
    await store._writer.run(lambda writing: writing.execute(statement).fetchall())


async def test_client_that_closes_its_side_early_gets_all_answers(server: Any) -> None:
    mail = b"MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\nSubject: %d\r\n\r\nx\r\n.\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.smtp_port)
    writer.write(b"HELO me\r\n" + mail % 1 + mail % 2)
    writer.write_eof()

    async with asyncio.timeout(10):
        answers = (await reader.read()).split(b"\r\n")
    writer.close()

    assert [answer[:3] for answer in answers if answer] == [
        b"220", b"250", b"250", b"250", b"354", b"250", b"250", b"250", b"354", b"250",
    ]  # fmt: skip
    assert (await server.json("/api/v1/messages"))["total"] == 2


async def test_connections_over_the_limit_are_told_so_and_closed(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 3)
    connections = [await asyncio.open_connection("127.0.0.1", server.smtp_port) for _ in range(8)]

    async with asyncio.timeout(60):
        greetings = [(await reader.readline())[:3] for reader, _ in connections]
        refused = [reader for (reader, _), said in zip(connections, greetings, strict=True) if said == b"421"]
        over = [await reader.read() for reader in refused]
    for _, writer in connections:
        writer.close()

    assert sorted(greetings) == [b"220"] * 3 + [b"421"] * 5
    assert over == [b""] * 5


async def test_server_stops_while_clients_are_connected(serve: Any, tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        async with serve(tmp_path / "mails.db") as server:
            idle = socket.create_connection(("127.0.0.1", server.smtp_port))
            events = await server.web.get(server.url + "/api/mailpact/v1/events")
            waiting = asyncio.ensure_future(server.web.get(server.url + "/api/mailpact/v1/wait?timeout=200"))
            await server.get("/livez")
        idle.close()
        events.close()
        waiting.cancel()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 200),
    ],
)
async def test_foreign_page_marks_nothing_read(server: Any, headers: dict[str, str], status: int) -> None:
    await server.send(b"Subject: a\r\n\r\nx\r\n")

    answers = [(await server.get(path, **headers))[0] for path in ("/mail/latest", "/api/v1/message/latest")]

    unread = (await server.json("/api/v1/messages"))["unread"]
    assert answers == [status, status]
    assert unread == (0 if headers["Sec-Fetch-Site"] == "same-origin" else 1)


async def test_containers_call_the_server_by_the_names_that_are_allowed(serve: Any, tmp_path: Path) -> None:
    async with serve(tmp_path / "mails.db", Settings(allowed_hosts=("Capture",))) as server:
        answers = [
            (await server.get("/readyz", Host=host))[0]
            for host in ("capture:8025", "capture.evil.test", "localhost")
        ]
        async with server.web.delete(
            server.url + "/api/v1/messages", headers={"Host": "capture:8025", "Origin": "http://evil.test"}
        ) as answer:
            assert answer.status == 403

    assert answers == [200, 421, 200]
