"""The tap records all bytes and changes none."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mailpact.settings import HostPort
from mailpact_kit.changes import Changes
from mailpact_kit.tap import tapping

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE_SECONDS = 10


@asynccontextmanager
async def broker(serve: Serve) -> AsyncIterator[HostPort]:
    """Yield a server that stands in for a broker."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield HostPort("127.0.0.1", server.sockets[0].getsockname()[1])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send all received bytes back, then close."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def said(port: int, data: bytes) -> bytes:
    """Send bytes on a new connection; return all bytes that come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("data", [b"", b"AMQ", b"\x01\x00", os.urandom(300_000)], ids=len)
async def test_any_bytes_pass_unchanged_in_both_directions(data: bytes) -> None:
    async with broker(echo) as target, tapping(target, Changes()) as (_, port):
        assert await said(port, data) == data


async def test_garbage_on_one_connection_leaves_the_others_readable() -> None:
    ack = bytes.fromhex("01 0001 0000000d 003c0050 0000000000000007 00 ce")
    async with broker(echo) as target, tapping(target, Changes()) as (tap, port):
        await said(port, b"GET / HTTP/1.1\r\n\r\n" * 100)
        await said(port, ack)

        assert [event.name for event in tap.events if event.connection == 2] == ["basic.ack", "basic.ack"]


async def test_program_sees_an_end_when_the_broker_is_away() -> None:
    async with broker(echo) as target:
        pass

    async with tapping(target, Changes()) as (_, port):
        assert await said(port, b"") == b""


async def test_tap_ends_although_both_sides_stay_silent() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with broker(silent) as target, asyncio.timeout(PATIENCE_SECONDS):
        async with tapping(target, Changes()) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
