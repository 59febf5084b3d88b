"""A client that sends exactly the frames that a behaviour asks for, right or wrong, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit

from pamqp import base, commands, frame, header
from pamqp.common import FieldTable

from tests.differential.client import LIMIT_SECONDS, Client, Observation

PREAMBLE = b"AMQP\0\0\x09\x01"
HANG_UP = "hang up"
LIMITS = (2_047, 131_072)  # channels, and bytes in a frame, as both brokers propose
CAPABLE: FieldTable = {
    "capabilities": {
        "authentication_failure_close": True,
        "consumer_cancel_notify": True,
        "connection.blocked": True,
    }
}


class RawClient:
    """One connection, byte by byte."""

    def __init__(self, amqp: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = urlsplit(amqp.url)
        self.user, self.password = unquote(server.username or ""), unquote(server.password or "")
        self.vhost = amqp.vhost
        self._amqp, self._reader, self._writer = amqp, reader, writer

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def say(self, *methods: base.Frame, channel: int = 1) -> None:
        """Send methods."""
        for method in methods:
            self.send(frame.marshal(method, channel))

    async def hear(self) -> base.Frame | bytes | str:
        """Return the next frame: a method decoded, others as bytes; HANG_UP if the broker closed the connection."""
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                head = await self._reader.readexactly(7)
                if head.startswith(b"AMQP"):
                    return head + await self._reader.readexactly(1)
                whole = head + await self._reader.readexactly(int.from_bytes(head[3:7]) + 1)
        except (asyncio.IncompleteReadError, ConnectionError):
            return HANG_UP
        found = frame.unmarshal(whole)[2]
        return found if isinstance(found, base.Frame) else whole

    async def told(self) -> Observation:
        """Return the next frame as an observation: a method's name; for a close also its code and the failed method."""
        match await self.hear():
            case commands.Connection.Close() | commands.Channel.Close() as close:
                return [close.name, close.reply_code, [close.class_id, close.method_id]]
            case base.Frame() as method:
                return method.name
            case bytes() as data:
                return data.hex(" ")
            case said:
                return said

    async def told_text(self) -> Observation:
        """Return the next frame as an observation: a close with its code and text."""
        match await self.hear():
            case commands.Connection.Close() | commands.Channel.Close() as close:
                return [close.name, close.reply_code, self._amqp.neutral(close.reply_text)]
            case other:
                return str(other)

    async def start(self, start_ok: commands.Connection.StartOk | None = None) -> commands.Connection.Start:
        """Log in."""
        self.send(PREAMBLE)
        start = await self.hear()
        assert isinstance(start, commands.Connection.Start)
        plain = f"\0{self.user}\0{self.password}"
        self.say(start_ok or commands.Connection.StartOk(CAPABLE, "PLAIN", plain), channel=0)
        return start

    async def shake_hands(self, *, heartbeat: int = 0) -> None:
        """Open the connection and channel 1."""
        await self.start()
        assert isinstance(await self.hear(), commands.Connection.Tune)
        self.say(
            commands.Connection.TuneOk(*LIMITS, heartbeat),
            commands.Connection.Open(self.vhost),
            channel=0,
        )
        assert isinstance(await self.hear(), commands.Connection.OpenOk)
        self.say(commands.Channel.Open())
        assert isinstance(await self.hear(), commands.Channel.OpenOk)


def content_header(size: int, channel: int = 1) -> bytes:
    """Return the frame of a content header without properties that announces so many bytes."""
    return frame.marshal(header.ContentHeader(0, size, commands.Basic.Properties()), channel)


def raw_frame(kind: int, payload: bytes, *, channel: int = 1, end: bytes = b"\xce") -> bytes:
    """Return a frame of any kind, also of a kind that AMQP does not define."""
    return bytes((kind,)) + channel.to_bytes(2) + len(payload).to_bytes(4) + payload + end


@asynccontextmanager
async def raw_connection(amqp: Client) -> AsyncIterator[RawClient]:
    """Yield a connection on which nothing has been sent yet."""
    server = urlsplit(amqp.url)
    reader, writer = await asyncio.open_connection(server.hostname, server.port)
    yield RawClient(amqp, reader, writer)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def raw_channel(amqp: Client) -> AsyncIterator[RawClient]:
    """Yield an open connection with channel 1."""
    async with raw_connection(amqp) as raw:
        await raw.shake_hands()
        yield raw
