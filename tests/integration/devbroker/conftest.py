"""Fixtures: a development broker in this process, and clients that are closed afterwards."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from pamqp import commands

from mailpact_devbroker import frames
from mailpact_devbroker.service import DevBroker, running

LIMIT_SECONDS = 10.0
Connect = Callable[[str], Awaitable[AbstractConnection]]


@pytest.fixture
def listener() -> socket.socket:
    """Return a bound socket for a broker of the test's own."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


@pytest.fixture
async def devbroker(listener: socket.socket) -> AsyncIterator[DevBroker]:
    async with running(listener, journal=None) as server:
        yield server


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return a function that opens connections to a URL."""
    opened: list[AbstractConnection] = []

    async def open_one(url: str) -> AbstractConnection:
        opened.append(await asyncio.wait_for(aiormq.connect(url), LIMIT_SECONDS))
        return opened[-1]

    yield open_one
    for connection in opened:
        with contextlib.suppress(Exception, asyncio.CancelledError):  # a test may have broken it on purpose
            await asyncio.wait_for(connection.close(), LIMIT_SECONDS)


@pytest.fixture
async def channel(devbroker: DevBroker, connect: Connect) -> AbstractChannel:
    """Return a channel with confirms on a connection of its own."""
    return await (await connect(devbroker.url)).channel()


@pytest.fixture
def take():
    """Return the next message of a queue, waiting for it."""

    async def wait(channel: AbstractChannel, queue: str, *, no_ack: bool = True) -> DeliveredMessage:
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                message = await channel.basic_get(queue, no_ack=no_ack)
                if isinstance(message.delivery, commands.Basic.GetOk):
                    return message
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def eventually():
    """Wait until a condition is true."""

    async def wait(is_true: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not is_true():
                await asyncio.sleep(0.005)

    return wait


class RawClient:
    """A client that sends exactly the test's bytes, and nothing of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = frames.Decoder()
        self._waiting: list[frames.Frame] = []

    def say(self, *methods, channel: int = 0) -> None:
        for method in methods:
            self.writer.write(frames.encode(channel, method))

    async def hear(self) -> commands.base.Frame | frames.Frame:
        """Return the next method, decoded, or another frame; EOFError when the broker closes the connection."""
        while not self._waiting:
            data = await asyncio.wait_for(self.reader.read(65_536), LIMIT_SECONDS)
            if not data:
                raise EOFError
            self._decoder.feed(data)
            self._waiting += self._decoder.frames()
        frame = self._waiting.pop(0)
        return frames.decode_method(frame.payload) if frame.kind is frames.Kind.METHOD else frame

    async def hear_the_end(self) -> None:
        """Read until the broker closes the connection; raise the error that the client sees."""
        while True:
            await self.hear()

    async def shake_hands(self, *, heartbeat: int = 0, capabilities: tuple[str, ...] = ()) -> None:
        self.writer.write(frames.PREAMBLE)
        able = {"capabilities": dict.fromkeys(capabilities, True)}
        self.say(
            commands.Connection.StartOk(able, "PLAIN", "\0guest\0guest"),
            commands.Connection.TuneOk(2_047, frames.FRAME_MAX, heartbeat),
            commands.Connection.Open("/"),
        )
        for expected in (commands.Connection.Start, commands.Connection.Tune, commands.Connection.OpenOk):
            assert isinstance(await self.hear(), expected)

    async def open_channel(self, number: int = 1) -> None:
        self.say(commands.Channel.Open(), channel=number)
        assert isinstance(await self.hear(), commands.Channel.OpenOk)


@pytest.fixture
async def raw(devbroker: DevBroker) -> AsyncIterator[RawClient]:
    port = int(devbroker.url.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield RawClient(reader, writer)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
def journal_file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"
