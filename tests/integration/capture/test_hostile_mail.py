"""A hostile mail cannot harm its reader: all text is escaped, and every part is a download."""

import inspect
import re
from typing import Any

import pytest

from mailpact.settings import HostPort
from mailpact_cli.capture import capture

HOSTILE = b"\r\n".join((
    b'From: "<script>alert(1)</script>" <ada@x.org>',
    b"To: <img src=x onerror=alert(1)>@x.org",
    b"Reply-To: javascript:alert(1)",
    b"Subject: <svg onload=alert(1)>",
    b'Message-ID: <"><script>alert(1)</script>@x>',
    b"X-Tags: <script>alert(1)</script>",
    b"X-<script>alert(1)</script>: <script>alert(1)</script>",
    b"List-Unsubscribe: <javascript:alert(1)>",
    b"Content-Type: multipart/mixed; boundary=b",
    b"",
    b"--b",
    b"Content-Type: text/plain",
    b"",
    b'</pre></div><script>alert(1)</script> javascript:alert(1) https://x.org/?a="onclick="alert(1)',
    b"--b",
    b'Content-Type: text/html; charset="><script>alert(1)</script>',
    b'Content-Disposition: attachment; filename="<script>alert(1)</script>.html"',
    b"",
    b"<script>alert(1)</script>",
    b"--b",
    b'Content-Type: image/svg+xml; name="../../../etc/passwd"',
    b"Content-ID: <../../../etc/passwd>",
    b"",
    b"<svg onload=alert(1)>",
    b"--b",
    b"Content-Type: application/xhtml+xml",
    b'Content-Disposition: inline; filename="\\"; filename=x.html"',
    b"",
    b"<html/>",
    b"--b",
    b"Content-Type: text/html<script>",
    b'Content-Disposition: attachment; filename="a\0b.exe"',
    b"",
    b"x",
    b"--b--",
    b"",
))  # fmt: skip
ALIVE = re.compile(
    rb"<(?:script>|svg onload|img src=x)|href=.javascript|\" ?on(?:click|load)=", re.IGNORECASE
)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/mail/latest", "/mail/latest?view=text", "/mail/latest?view=headers", "/mail/latest?view=source",
        "/mail/latest?view=envelope", "/refused", '/?query="><script>alert(1)</script>', "/?query=tag:<script>",
        "/mail/<script>alert(1)</script>", "/ns/<script>/", "/<script>alert(1)</script>",
    ],
)  # fmt: skip
async def test_no_word_of_a_mail_or_an_address_is_alive_in_a_page(server: Any, path: str) -> None:
    await server.send(HOSTILE)

    status, page, headers = await server.get(path)

    assert status in (200, 400, 404)
    if headers["Content-Type"].startswith("text/html"):
        assert ALIVE.search(page) is None
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


async def test_parts_are_downloads_whatever_they_call_themselves(server: Any) -> None:
    await server.send(HOSTILE)
    mail = await server.json("/api/v1/message/latest")

    names = []
    for part in [*mail["Attachments"], *mail["Inline"]]:
        for last in ("", "/thumb"):
            status, _, headers = await server.get(f"/api/v1/message/{mail['ID']}/part/{part['PartID']}{last}")
            assert status == 200
            assert "sandbox" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            if last:
                assert headers["Content-Type"].startswith("image/")
                assert "svg" not in headers["Content-Type"]
            else:
                names.append(headers["Content-Disposition"])

    assert sorted(names) == [
        "attachment; filename*=utf-8''%22%3B%20filename%3Dx.html",
        "attachment; filename*=utf-8''%3Cscript%3Ealert%281%29%3C%2Fscript%3E.html",
        "attachment; filename*=utf-8''..%2F..%2F..%2Fetc%2Fpasswd",
        "attachment; filename*=utf-8''a%20b.exe",
    ]


async def test_long_file_name_is_shortened_where_clients_would_refuse_it(server: Any) -> None:
    name = "ü" * 30_000 + ".tar.gz"
    head = (
        f'Content-Type: application/gzip\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\nx\r\n'
    )
    await server.send(head.encode())

    status, _, headers = await server.get("/api/v1/message/latest/part/1")

    assert status == 200
    assert headers["Content-Disposition"].endswith("%BC.tar.gz")
    assert len(headers["Content-Disposition"]) < 2000


@pytest.mark.parametrize(
    "path", ["/api/v1/message/latest/part/..%2F..%2Fetc%2Fpasswd", "/static/..%2F..%2Fetc%2Fpasswd"]
)
async def test_no_name_is_ever_a_path(server: Any, path: str) -> None:
    await server.send(HOSTILE)

    assert (await server.get(path))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/mailpact/v1/events",
        "/api/mailpact/v1/wait?timeout=5",
        "/ns/one/api/mailpact/v1/events",
        "/api/events",
    ],
)
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
)
async def test_foreign_page_can_follow_nothing(server: Any, path: str, headers: dict[str, str]) -> None:
    assert (await server.get(path, **headers))[0] in (403, 421)


def test_nobody_from_another_machine_is_served_by_default() -> None:
    defaults = {name: each.default for name, each in inspect.signature(capture).parameters.items()}

    assert (defaults["smtp"], defaults["http"]) == (HostPort("127.0.0.1", 1025), HostPort("127.0.0.1", 8025))
