"""A proxy between a program and its broker that reads AMQP in both directions and changes no byte.

What is read is noted before it is passed on, so that the trace keeps the order of cause and effect across connections.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from mailpact.settings import HostPort
from mailpact_kit.bell import Bell
from mailpact_kit.frames import FrameReader
from mailpact_kit.trace import Event, Side, Trace

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10


class Tap:
    """Listens on loopback; every connection made to it is passed on to the broker at `target`."""

    def __init__(self, target: HostPort, bell: Bell) -> None:
        self._target = target
        self._bell = bell
        self._trace = Trace()
        self._connections = 0
        self._began = asyncio.get_running_loop().time()
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def events(self) -> Sequence[Event]:
        """What was said so far."""
        return self._trace.events

    @property
    def is_full(self) -> bool:
        """Whether the trace has stopped at its limit; then nothing may be concluded from it."""
        return self._trace.is_full

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection of the program until either side ends it."""
        self._connections += 1
        carrying = asyncio.create_task(self._carry(self._connections, reader, writer))
        self._open[carrying] = writer
        try:
            await asyncio.wait({carrying})
        finally:
            del self._open[carrying]
            await _close(writer)

    async def close(self) -> None:
        """Cut all connections."""
        for writer in self._open.values():
            writer.transport.abort()
        for carrying in list(self._open):
            carrying.cancel()
            await asyncio.wait({carrying})

    async def _carry(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                to_broker = await asyncio.open_connection(self._target.host, self._target.port)
        except (OSError, TimeoutError):
            return  # the program sees its connection closed, as from a broker that is away
        broker_reader, broker_writer = to_broker
        ways = {
            asyncio.create_task(self._pump(number, Side.PROGRAM, reader, broker_writer)),
            asyncio.create_task(self._pump(number, Side.BROKER, broker_reader, writer)),
        }
        try:
            await asyncio.wait(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _close(broker_writer)

    async def _pump(
        self, number: int, sender: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        frames = FrameReader()
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                self._note(number, sender, frames, data)
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    def _note(self, number: int, sender: Side, frames: FrameReader, data: bytes) -> None:
        at = asyncio.get_running_loop().time() - self._began
        for frame in frames.feed(data):
            self._trace.take(number, sender, frame, at=at)
        self._bell.ring()


@asynccontextmanager
async def tapping(target: HostPort, bell: Bell) -> AsyncIterator[tuple[Tap, int]]:
    """Run a tap before the broker; give it and its port on 127.0.0.1."""
    tap = Tap(target, bell)
    server = await asyncio.start_server(tap.serve, "127.0.0.1", 0, limit=CHUNK_BYTES)
    try:
        yield tap, int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await tap.close()
        await server.wait_closed()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
