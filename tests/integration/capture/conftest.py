"""Fixtures: a capture server in this process, and clients that talk to it over real sockets."""

import asyncio
import smtplib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from mailpact.telemetry import Journey, Point
from mailpact_capture.service import DEFAULTS, Settings, running


def listener() -> socket.socket:
    """Return a listening socket on any free port."""
    opened = socket.create_server(("127.0.0.1", 0))
    opened.settimeout(0)
    return opened


async def _whole_answer(reader: asyncio.StreamReader) -> bytes:
    """Return the last line of an answer, which may have several; empty when the server has closed the connection."""
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            return line


class Server:
    """A running capture server, and the requests that a client sends to it."""

    def __init__(self, smtp_port: int, smtps_port: int, url: str, web: aiohttp.ClientSession) -> None:
        self.smtp_port = smtp_port
        self.smtps_port = smtps_port
        self.url = url
        self.web = web
        self.reached: list[tuple[Point, str]] = []

    async def send(
        self, content: bytes, *, to: tuple[str, ...] = ("ada@example.org",), sender: str = "me@x.org"
    ) -> None:
        """Send one mail as smtplib does."""

        def work() -> None:
            with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as client:
                client.sendmail(sender, to, content)

        await asyncio.to_thread(work)

    async def say(self, *lines: bytes) -> list[bytes]:
        """Send raw lines over one connection; return the replies, the greeting first."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.smtp_port)
        answers = [await reader.readline()]
        for line in lines:
            writer.write(line)
            async with asyncio.timeout(30):
                answers.append(await _whole_answer(reader))
        writer.close()
        await writer.wait_closed()
        return answers

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        """Send a GET for a page or for an answer of the API."""
        async with self.web.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def change(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request of the API that changes something; return the status and the JSON or text of the answer."""
        async with self.web.request(method, self.url + path, json=body) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    async def json(self, path: str) -> Any:
        """Return the JSON of an answer of the API."""
        async with self.web.get(self.url + path) as answer:
            assert answer.status == 200
            return await answer.json()


@asynccontextmanager
async def serving(store: Path | None, settings: Settings = DEFAULTS) -> AsyncIterator[Server]:
    """Run a capture server."""
    smtp, smtps, web = listener(), listener(), listener()
    port, smtps_port, url = (
        smtp.getsockname()[1],
        smtps.getsockname()[1],
        f"http://127.0.0.1:{web.getsockname()[1]}",
    )
    journey = Journey()
    async with (
        running(smtp=smtp, web=web, store=store, journey=journey, settings=settings, smtps=smtps),
        aiohttp.ClientSession() as session,
    ):
        server = Server(port, smtps_port, url, session)
        journey.watch(lambda point, message_id: server.reached.append((point, message_id)))
        yield server


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on the event loop that the command runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def serve() -> Callable[[Path | None], Any]:
    """Run a capture server on a store of the test's choice."""
    return serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Yield a capture server with an empty store."""
    async with serving(tmp_path / "capture.db") as running_server:
        yield running_server
