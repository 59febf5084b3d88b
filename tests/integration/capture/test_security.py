"""The server refuses unsafe requests and reveals nothing about itself, whatever the client sends."""

import asyncio
import contextlib
from typing import Any

import pytest

from mailpact_capture import connections
from mailpact_capture.accounts import Accounts


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_health_tells_nothing(server: Any, path: str) -> None:
    await server.send(b"Subject: secret\r\n\r\nx\r\n")

    status, body, headers = await server.get(path)

    assert (status, body) == (200, b"")
    assert headers["Server"] == "Mailpact"  # no version
    assert "X-Mailpact-Cursor" not in headers


@pytest.mark.parametrize("password", ["", "s3cre", "s3crett", "S3cret", "ü"])
def test_wrong_password_is_refused_for_names_that_exist_and_for_others(password: str) -> None:
    accounts = Accounts({"ada": "s3cret"})

    assert accounts.accept("ada", "s3cret")
    assert not accounts.accept("ada", password)
    assert not accounts.accept("nobody", password)


async def test_nothing_is_ever_released_to_anybody(server: Any) -> None:
    await server.send(b"Subject: x\r\n\r\nx\r\n")
    public_id = (await server.json("/api/v1/messages"))["messages"][0]["ID"]

    status, answer = await server.change(
        "POST", f"/api/v1/message/{public_id}/release", {"To": ["eve@x.org"]}
    )

    assert status == 400
    assert "not enabled" in answer
    assert (await server.json("/api/v1/webui"))["MessageRelay"]["Enabled"] is False


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/quit", "/api/v1/quit", "/shutdown"])
async def test_nobody_can_stop_the_server_by_http(server: Any, method: str, path: str) -> None:
    assert (await server.change(method, path))[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/mailpact/v1/faults"),
        ("DELETE", "/api/mailpact/v1/faults"),
        ("PUT", "/api/v1/chaos"),
        ("DELETE", "/api/mailpact/v1/smtp-sessions"),
        ("GET", "/api/mailpact/v1/smtp-sessions"),
        ("GET", "/refused"),
    ],
)
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_foreign_page_can_neither_change_nor_read(
    server: Any, method: str, path: str, headers: dict[str, str]
) -> None:
    async with server.web.request(method, server.url + path, headers=headers, json={"rules": []}) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /?mail=ada@x.org HTTP/9.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /" + b"ada@x.org/" * 2000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ada@x.org\x01\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: ada@x.org\r\n\r\n", b"400"),
        (b"GET /ada@x.org HTTP/1.1\r\n\r\n", b"400"),
        (b"ada@x.org\r\n\r\n", b"400"),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nada@x.org",
            b"415",
        ),
    ],
    ids=["version", "long", "control", "two hosts", "no host", "no HTTP", "compressed"],
)
async def test_what_is_not_http_is_neither_repeated_nor_logged(
    server: Any, capfd: pytest.CaptureFixture[str], head: bytes, status: bytes
) -> None:
    host, port = str(server.url).removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(head)
    async with asyncio.timeout(60):
        answer = await reader.read()

    writer.close()
    assert answer.split(b" ", 2)[1] == status
    assert b"Server: Mailpact\r\n" in answer
    assert b"nosniff" in answer
    assert b"ada@x.org" not in answer
    assert "ada@x.org" not in "".join(capfd.readouterr())


async def test_request_that_is_never_finished_is_given_up(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    host, port = str(server.url).removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(b"GET / HTTP/1.1\r\nHost: local")
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(60):
            assert await reader.read() == b""

    writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "http://127.0.0.1"), ("Origin", "http://evil.example")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Origin", "")],
        [("Host", "evil.example@127.0.0.1")],
    ],
)
async def test_page_cannot_hide_where_it_is_from(server: Any, headers: list[tuple[str, str]]) -> None:
    await server.send(b"Subject: kept\r\n\r\nx\r\n")

    async with server.web.delete(server.url + "/api/v1/messages", headers=headers) as answer:
        assert answer.status in (403, 421)

    assert (await server.json("/api/v1/messages"))["total"] == 1
