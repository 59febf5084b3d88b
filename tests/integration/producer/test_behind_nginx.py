"""The site behind Debian's nginx, with the unchanged configuration of docs/how-to/behind-nginx.md."""

import asyncio
import os
import pwd
import re
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from mailpact_producer.settings import parse_networks
from tests.certificates import Authority
from tests.integration.producer.conftest import HIDDEN
from tests.servers.run_folder import PrivateProcess
from tests.servers.where import Servers

PAGE = Path(__file__).parents[3] / "docs/how-to/behind-nginx.md"
PATIENCE_SECONDS = 20
HOST = "cms.example"


@dataclass(frozen=True)
class Proxy:
    """A running nginx, and the site behind it."""

    port: int
    plain_port: int
    site_port: int
    tls: ssl.SSLContext

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname=HOST)

    async def ask(self, request: bytes, *, directly: bool = False) -> str:
        """Send bytes and return all that comes back until the connection is closed."""
        opened = asyncio.open_connection("127.0.0.1", self.site_port) if directly else self.open()
        reader, writer = await opened
        writer.write(request)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()
        writer.close()
        return answer.decode("utf-8", "replace")


@pytest.fixture
async def proxy(nginx: Any, start_site: Any, tmp_path: Path, servers: Servers) -> AsyncIterator[Proxy]:
    """Yield the site, and nginx in front of it."""
    site = await start_site(
        base_url=f"https://{HOST}", mail_limit_network=1, trusted_proxies=parse_networks("127.0.0.1")
    )
    run = servers.run
    port, plain_port = run.reserve_port(), run.reserve_port()
    site_port = int(site.url.rpartition(":")[2])
    authority = Authority(tmp_path)
    pem = str(authority.certificate(HOST))
    (block,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for written, here in (
        ("/etc/ssl/cms.example.pem", pem),
        ("/etc/ssl/cms.example.key", pem),
        ("listen 80 ", f"listen 127.0.0.1:{plain_port} "),
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("127.0.0.1:8080", f"127.0.0.1:{site_port}"),
        ("_timeout 10s", "_timeout 1s"),
    ):
        assert written in block
        block = block.replace(written, here)
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {tmp_path}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off; keepalive_timeout 1s;\n{temporary}{block}}}\n"
    )
    words = [str(nginx.path), "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    process = PrivateProcess(run, "nginx").begin(words, nginx.environment)
    await asyncio.to_thread(process.wait_until, "it listens", lambda: _listens(port))
    yield Proxy(port, plain_port, site_port, ssl.create_default_context(cafile=authority.ca_file))
    process.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(path: str, *headers: str, host: str = HOST) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def registration(proxy: Proxy, email: str, *headers: str) -> bytes:
    """Return the request by which a browser registers a reader."""
    page = await proxy.ask(get("/register"))
    cookies = "; ".join(re.findall(r"(?mi)^set-cookie: ([^;]+)", page))
    form = dict(HIDDEN.findall(page)) | {"name": "Ada", "email": email, "password": "correct horse"}
    body = urlencode(form)
    lines = [
        "POST /register HTTP/1.1",
        f"Host: {HOST}",
        f"Cookie: {cookies}",
        f"Origin: https://{HOST}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def status_of(answer: str) -> str:
    return answer.partition(" ")[2][:3]


async def test_site_is_served_by_https_only_and_its_cookies_are_secure(proxy: Proxy) -> None:
    page = await proxy.ask(get("/register"))
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.plain_port)
    writer.write(get("/register?page=one"))
    moved = (await reader.read()).decode()
    writer.close()

    assert status_of(page) == "200"
    assert re.search(r"(?mi)^set-cookie: __Host-.*; Secure", page)
    assert re.search(r"(?mi)^strict-transport-security:", page)
    assert (status_of(moved), f"Location: https://{HOST}/register?page=one" in moved) == ("308", True)


async def test_client_cannot_say_where_it_comes_from(proxy: Proxy) -> None:
    answers = [
        await proxy.ask(await registration(proxy, f"a{n}@example.org", f"X-Forwarded-For: 192.0.{n}.1"))
        for n in range(2)
    ]

    assert [status_of(answer) for answer in answers] == ["303", "429"]


async def test_links_in_mails_lead_to_the_site_whatever_a_request_says(proxy: Proxy, data: Any) -> None:
    forged = ("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "Forwarded: host=evil.example")

    assert status_of(await proxy.ask(get("/register", host="evil.example"))) == "421"
    assert status_of(await proxy.ask(await registration(proxy, "ada@example.org", *forged))) == "303"
    assert f"https://{HOST}/confirm" in data.everything()
    assert "evil.example" not in data.everything()


CHUNKED, ENDED = "Transfer-Encoding: chunked", "0\r\n\r\n"
LENGTH = "Content-Length: {length}"
SMUGGLED = {
    "both lengths": ([LENGTH, CHUNKED], ENDED),
    "both lengths, chunked first": ([CHUNKED, LENGTH], ENDED),
    "space before the colon": ([LENGTH, "Transfer-Encoding : chunked"], ENDED),
    "other coding": ([LENGTH, "Transfer-Encoding: xchunked"], ENDED),
    "tab before the coding": ([LENGTH, "Transfer-Encoding:\tchunked"], ENDED),
    "vertical tab before the coding": ([LENGTH, "Transfer-Encoding: \x0bchunked"], ENDED),
    "folded line": ([LENGTH, "Transfer-Encoding:\r\n chunked"], ENDED),
    "header after a lone line feed": (["X: y\nTransfer-Encoding: chunked", LENGTH], ENDED),
    "two lengths": (["Content-Length: 0", LENGTH], ""),
    "signed length": ([LENGTH.replace("{", "+{")], ""),
}


async def test_request_inside_a_request_is_never_carried_out(proxy: Proxy, data: Any) -> None:
    inner = await registration(proxy, "smuggled@example.org")
    answers = {}
    for name, (headers, ended) in SMUGGLED.items():
        head = "\r\n".join(["POST / HTTP/1.1", f"Host: {HOST}", *headers, "", ended])
        outer = head.replace("{length}", str(len(ended) + len(inner))).encode()
        answers[name] = status_of(await proxy.ask(outer + inner))

    assert data.rows("SELECT count(*) FROM users") == [(0,)], answers
    assert status_of(await proxy.ask(inner)) == "303"  # the request by itself is valid
    assert data.rows("SELECT count(*) FROM users") == [(1,)]


async def test_clients_that_never_finish_keep_nobody_else_out_and_are_sent_away(proxy: Proxy) -> None:
    slow = [await proxy.open() for _ in range(100)]
    for number, (_, writer) in enumerate(slow):
        head = f"POST /register HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n"
        writer.write(head.encode() + b"\r\nname=" * (number % 2))

    assert status_of(await proxy.ask(get("/register"))) == "200"
    async with asyncio.timeout(PATIENCE_SECONDS):
        for reader, writer in slow:
            await reader.read()
            writer.close()
