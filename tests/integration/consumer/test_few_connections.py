"""A mail server that gives one client only two connections takes all mail, although the consumer would use more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.conftest import EMBEDDED

MOST_CONNECTIONS = 2

# The broker and the database make no difference to what the mail server does.
pytestmark = pytest.mark.parametrize("real_servers", [EMBEDDED], ids=["embedded"], indirect=True)


@asynccontextmanager
async def few_connections(port: int, refusal: bytes) -> AsyncIterator[int]:
    """Listen in front of a mail server, and refuse each connection above the limit; yield the port."""
    in_use: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(in_use) >= MOST_CONNECTIONS:
            writer.write(refusal)
            writer.close()
            return
        in_use.add(writer)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))
        finally:
            in_use.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()
    for writer in in_use:
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.mark.parametrize(
    "refusal", [b"421 4.7.0 too many connections\r\n", b""], ids=["421", "closed at once"]
)
async def test_server_that_gives_few_connections_takes_all_mail_and_no_attempt_is_burnt(
    stage: Any, eventually: Any, refusal: bytes
) -> None:
    async with few_connections(stage.mail_server.port, refusal) as port:
        stage.mail_server.port = port
        async with stage.consumer(smtp_connections=4):
            await asyncio.gather(*(stage.order(f"r{number}@example.org") for number in range(20)))
            await eventually("all are mails", lambda: len(stage.mail_server.mails) == 20)

    assert await stage.rows() == [("sent", 1, 0)] * 20
