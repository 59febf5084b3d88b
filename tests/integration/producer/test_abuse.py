"""Limits on what unknown clients can do: connections, sizes, mails, forms."""

import asyncio
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mailpact.web.security import DEFAULT_HEADERS
from mailpact_producer.settings import parse_networks
from mailpact_producer.web import connections
from mailpact_producer.web.connections import most_connections

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30.0
FORM = "application/x-www-form-urlencoded"
FORM_HEAD = f"POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n".encode()


async def say(url: str, data: bytes) -> bytes:
    """Send bytes to the site and return all that it answers until it closes the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(data)
    await writer.drain()
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await reader.read()
    writer.close()
    return answer


# Requests that are not HTTP

BROKEN = {
    "version": b"GET /?email=ada@x.example&password=hunter22 HTTP/9.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /?password=hunter22\r\n\r\n",
    "long url": b"GET /?email=ada@x.example&password=hunter22&" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: x\r\nX: hunter22" + b"x" * 9000 + b"\r\n\r\n",
    "cookie": b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=hunter22\x01\r\n\r\n",
    "no header": b"GET / HTTP/1.1\r\nhunter22 ada@x.example\r\n\r\n",
    "method": b"<hunter22> / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": b"\x16\x03\x01hunter22\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhunter22",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nhunter22",
    "length of nonsense": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +hunter22\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_is_not_http_gets_a_fixed_page_and_is_not_repeated_anywhere(
    site: Any, kind: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = await say(site.url, BROKEN[kind])

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert {name: headers[name] for name in DEFAULT_HEADERS} == dict(DEFAULT_HEADERS)
    assert "Server" not in headers
    assert body.startswith(b"<!doctype html>")
    said = "".join(capfd.readouterr()) + caplog.text
    for secret in ("hunter22", "ada@x.example", "Traceback"):
        assert secret.encode() not in answer
        assert secret not in said


@pytest.mark.parametrize("cookie", ["session", "csrf", "notice"])
async def test_cookie_that_is_not_utf_8_is_no_bug_of_ours(site: Any, cookie: str) -> None:
    value = b"Cookie: mailpact_" + cookie.encode() + b"=\xff\xfe\r\nConnection: close\r\n"
    form = FORM_HEAD + value + b"Content-Length: 7\r\n\r\ncsrf=ab"

    assert (await say(site.url, b"GET / HTTP/1.1\r\nHost: x\r\n" + value + b"\r\n")).startswith(
        b"HTTP/1.1 200 "
    )
    assert (await say(site.url, form)).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/register", FORM, 413),
        ("/register", "multipart/form-data; boundary=x", 415),
        ("/feed.atom", FORM, 405),
        ("/api/pages", FORM, 405),
        ("/nowhere", FORM, 404),
    ],
)
async def test_answer_arrives_although_the_body_is_too_large_to_be_read(
    site: Any, path: str, kind: str, status: int
) -> None:
    body = b"name=" + b"a" * 10_000_000

    answers = [await site.post(path, data=io.BytesIO(body), headers={"Content-Type": kind}) for _ in range(3)]

    assert [answer.status for answer in answers] == [status] * 3


async def test_broken_chunks_of_a_form_are_no_bug_of_ours(
    site: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await say(site.url, FORM_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhunter22")

    assert re.match(rb"HTTP/1\.[01] 400 ", answer)
    assert "which is a bug" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-hunter22", "gzip, identity"])
async def test_compressed_form_is_refused_unread(site: Any, encoding: str, capfd: Any) -> None:
    answer = await site.post(
        "/register", data=b"\x1f\x8bnot gzip", headers={"Content-Type": FORM, "Content-Encoding": encoding}
    )

    assert answer.status == 415
    assert "hunter22" not in answer.text
    assert {name: answer.headers[name] for name in DEFAULT_HEADERS} == dict(DEFAULT_HEADERS)
    assert "which is a bug" not in "".join(capfd.readouterr())


async def test_expectation_that_nobody_knows_is_not_repeated(site: Any) -> None:
    answer = await say(site.url, b"GET / HTTP/1.1\r\nHost: x\r\nExpect: <b>hunter22</b>\r\n\r\n")

    assert b" 417 " in answer.splitlines()[0]
    assert b"hunter22" not in answer


async def test_browser_that_leaves_in_the_middle_of_a_form_is_no_bug_of_ours(site: Any, capfd: Any) -> None:
    parts = urlsplit(site.url)
    for _ in range(5):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(
            f"POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 9\r\n\r\na".encode()
        )
        await writer.drain()
        writer.transport.abort()

    assert (await site.get("/")).status == 200
    assert "which is a bug" not in "".join(capfd.readouterr())


# Connections


def test_there_are_never_more_connections_than_descriptors() -> None:
    assert [most_connections(files) for files in (64, 256, 1024, 1_000_000)] == [16, 16, 724, 4096]


@asynccontextmanager
async def site_process(folder: Path, descriptors: int) -> AsyncIterator[tuple[str, Path]]:
    """Run the site in a process that may open only so many files; yield its URL and its log."""
    log = folder / "log"
    command = f'ulimit -n {descriptors} && exec "$0" -m mailpact_cli producer "$@"'
    arguments = [
        "--listen",
        "127.0.0.1:0",
        "--amqp-url",
        "amqp://127.0.0.1:1/",
        "--database-url",
        f"sqlite:///{folder}/cms.db",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command, sys.executable, *arguments],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := re.search(r"site on (http://[^/\s]+)/", log.read_text())):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.02)
        yield found[1], log
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


@pytest.mark.parametrize(
    "unfinished",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        FORM_HEAD + b"Content-Length: 999\r\n\r\nname=",
    ],
    ids=["nothing", "head", "body"],
)
async def test_site_stays_usable_while_a_thousand_requests_are_not_finished(
    tmp_path: Path, browser: Any, unfinished: bytes
) -> None:
    held = []
    async with site_process(tmp_path, descriptors=1024) as (url, log):
        parts = urlsplit(url)
        try:
            for _ in range(1200):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.write(unfinished)
                held.append((reader, writer))

            slowest = 0.0
            for _ in range(10):
                began = time.monotonic()
                assert (await browser(url).get("/")).status == 200
                slowest = max(slowest, time.monotonic() - began)
        finally:
            for _, writer in held:
                writer.transport.abort()
        assert slowest < 5.0
        assert len(log.read_text().splitlines()) < 20


async def test_unfinished_head_and_idle_connection_are_closed_after_their_time(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.2)
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    nothing, half, idle, second_half = await asyncio.gather(
        *(say(site.url, data) for data in (b"", b"GET / HT", whole, whole + b"GET / HT"))
    )

    assert (nothing, half) == (b"", b"")
    assert idle.startswith(b"HTTP/1.1 200 ")
    assert second_half.startswith(b"HTTP/1.1 200 ")


async def test_head_that_comes_one_byte_at_a_time_is_not_waited_for_longer(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    parts = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.05)

    writer.write(b"GET / HTTP/1.1\r\nX: ")
    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionResetError):  # a reset ends the connection just as well
                assert await reader.read() == b""
    finally:
        dripping.cancel()
        writer.close()


# Mail that nobody asked for


async def test_tagged_addresses_of_one_mailbox_get_three_mails_in_an_hour(site: Any, data: Any) -> None:
    answers = [await site.register(f"Victim+{number}@Example.org") for number in range(20)]

    assert {answer.status for answer in answers} == {303}
    assert data.rows("SELECT count(*) FROM outbox") == [(3,)]
    assert len({answer.headers["Location"] for answer in answers}) == 1


async def test_limit_of_a_mailbox_is_shared_by_processes_and_holds_for_requests_at_once(
    start_site: Any, data: Any
) -> None:
    sites = [await start_site(), await start_site()]
    hidden = [await site.hidden_fields() for site in sites]

    async def register(number: int) -> Any:
        form = {"name": "Ada", "email": f"victim+{number}@example.org", "password": "correct horse"}
        return await sites[number % 2].post("/register", data=hidden[number % 2] | form)

    answers = await asyncio.gather(*(register(number) for number in range(30)))

    assert {answer.status for answer in answers} == {303}
    assert data.rows("SELECT count(*) FROM outbox") == [(3,)]


async def test_limit_of_a_network_is_shared_by_processes_and_holds_for_requests_at_once(
    start_site: Any, data: Any
) -> None:
    sites = [await start_site(mail_limit_network=4), await start_site(mail_limit_network=4)]
    hidden = [await site.hidden_fields() for site in sites]

    async def register(number: int) -> int:
        form = {"name": "Ada", "email": f"reader-{number}@example.org", "password": "correct horse"}
        answer = await sites[number % 2].post("/register", data=hidden[number % 2] | form)
        return int(answer.status)

    statuses = await asyncio.gather(*(register(number) for number in range(16)))

    assert sorted(statuses) == [303] * 4 + [429] * 12
    assert data.rows("SELECT count(*) FROM outbox") == [(4,)]


async def test_mails_are_granted_again_after_an_hour(site: Any, data: Any) -> None:
    for number in range(4):
        await site.register(f"victim+{number}@example.org")
    hour = 3_600_000_000
    for name, times in data.rows("SELECT name, times FROM limits"):
        earlier = " ".join(str(int(time) - hour) for time in times.split())
        data.rows("UPDATE limits SET times = :times WHERE name = :name", times=earlier, name=name)

    await site.register("victim+9@example.org")

    assert data.rows("SELECT count(*) FROM outbox") == [(4,)]


async def test_network_over_its_limit_gets_the_form_back_filled_in(start_site: Any, data: Any) -> None:
    site = await start_site(mail_limit_network=3)
    for number in range(3):
        await site.register(f"reader-{number}@example.org")

    answer = await site.register("ada@example.org", name="Ada L.")

    assert answer.status == 429
    assert answer.headers["Retry-After"] == "3600"
    assert 'value="Ada L."' in answer.text
    assert 'value="ada@example.org"' in answer.text
    assert data.rows("SELECT count(*) FROM outbox") == [(3,)]


async def test_known_and_unknown_addresses_count_alike(start_site: Any) -> None:
    site = await start_site(mail_limit_network=4)
    statuses = [
        (await site.register(email)).status for email in ["ada@example.org"] * 3 + ["b@example.org"] * 2
    ]

    assert statuses == [303, 303, 303, 303, 429]


@pytest.mark.parametrize(("trusted", "statuses"), [("", [303, 429]), ("127.0.0.0/8", [303, 303])])
async def test_forwarded_address_counts_only_if_the_proxy_is_trusted(
    start_site: Any, trusted: str, statuses: list[int]
) -> None:
    site = await start_site(mail_limit_network=1, trusted_proxies=parse_networks(trusted))
    hidden = await site.hidden_fields()

    async def register(client: str) -> int:
        form = {"name": "Ada", "email": f"{client}@example.org", "password": "correct horse"}
        answer = await site.post("/register", data=hidden | form, headers={"X-Forwarded-For": client})
        return int(answer.status)

    assert [await register("192.0.2.1"), await register("198.51.100.1")] == statuses


async def test_no_limit_is_no_limit(start_site: Any, data: Any) -> None:
    site = await start_site(mail_limit_mailbox=0)

    for number in range(5):
        await site.register(f"reader+{number}@example.org")

    assert data.rows("SELECT count(*) FROM outbox") == [(5,)]
    assert data.rows("SELECT count(*) FROM limits") == [(0,)]


async def test_counts_name_neither_mailbox_nor_network(start_site: Any, data: Any) -> None:
    site = await start_site(mail_limit_network=9)
    await site.register("ada@example.org")

    stored = json.dumps(data.rows("SELECT * FROM limits"))

    assert "ada@" not in stored
    assert "127.0.0" not in stored


# Forms of other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
    ],
)
async def test_form_that_another_site_sends_is_refused_and_comes_back_filled_in(
    site: Any, data: Any, headers: dict[str, str]
) -> None:
    hidden = await site.hidden_fields()
    form = hidden | {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}

    answer = await site.post("/register", data=form, headers=headers)

    assert answer.status == 403
    assert 'value="ada@example.org"' in answer.text
    assert data.rows("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("origin", ["null", "http://127.0.0.1"])
async def test_own_form_is_taken_whatever_a_browser_calls_its_origin(site: Any, origin: str) -> None:
    hidden = await site.hidden_fields()
    form = hidden | {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}

    answer = await site.post(
        "/register", data=form, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    )

    assert answer.status == 303


# What browsers may keep


async def test_page_may_be_kept_and_is_asked_for_again_but_forms_are_not_kept(site: Any) -> None:
    kept = {path: (await site.get(path)).headers["Cache-Control"] for path in ("/", "/register", "/nowhere")}

    assert kept == {"/": "no-cache", "/register": "no-store", "/nowhere": "no-store"}


async def test_https_is_for_good_and_http_says_nothing_of_it(start_site: Any) -> None:
    http, https = await start_site(), await start_site(base_url="https://cms.example")

    assert "Strict-Transport-Security" not in (await http.get("/")).headers
    for path in ("/", "/nowhere"):
        assert (await https.get(path)).headers["Strict-Transport-Security"] == "max-age=31536000"
    assert b"Strict-Transport-Security: max-age=31536000" in await say(https.url, BROKEN["version"])
