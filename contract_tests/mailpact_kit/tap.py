"""A proxy between a program and its broker that reads AMQP in both directions and forwards the bytes unchanged.

Each frame is recorded before it is forwarded, so that in the trace a cause always precedes its effect, also across
connections. For a fault, the tap closes connections (at once, or before it forwards a certain frame), refuses new
connections for some time, or replaces the broker's ack with a nack.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from mailpact.settings import HostPort
from mailpact_kit.changes import Changes
from mailpact_kit.frames import Frame, FrameReader, Method
from mailpact_kit.ledger import Ledger
from mailpact_kit.trace import Event, Speaker, Trace

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10
_CONFIRM = struct.Struct(">BHIHHQBB")  # basic.ack and basic.nack differ only in the method's number
_PROGRESS = ("basic.ack", "basic.reject", "basic.publish")


class _Cut(Exception):  # not an error: a case asked to break the connection here
    """The connection must break before this frame is forwarded."""


class Tap:
    """Listens on loopback, and forwards every connection to the broker at `target`."""

    def __init__(self, target: HostPort, changes: Changes) -> None:
        self._target = target
        self._changes = changes
        self.ledger = Ledger()
        self._trace = Trace(self.ledger.take)
        self._connections = 0
        self.began = asyncio.get_running_loop().time()
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._cut_before_settling: set[str] = set()
        self._cut_before_confirm: set[bytes] = set()
        self._nack_instead: set[bytes] = set()
        self._is_refusing = False

    @property
    def events(self) -> Sequence[Event]:
        """Return the events so far."""
        return self._trace.events

    @property
    def is_full(self) -> bool:
        """Return whether the trace has reached its limit and is therefore incomplete."""
        return self._trace.is_full

    def cut_before_settling(self, message_id: str) -> None:
        """Break the connection once, before the ack, nack or reject of this message is forwarded to the broker."""
        self._cut_before_settling.add(message_id)

    def cut_before_confirm(self, needle: bytes) -> None:
        """Break the connection once, before the confirm of a publish with these bytes in its body is forwarded."""
        self._cut_before_confirm.add(needle)

    def nack_instead(self, needle: bytes) -> None:
        """Forward basic.nack instead of the broker's basic.ack, once, for a publish with these bytes in its body."""
        self._nack_instead.add(needle)

    def has_cut(self, mark: str | bytes) -> bool:
        """Return whether the connection was broken, or a nack was made, for this message id or these bytes."""
        return mark not in self._cut_before_settling | self._cut_before_confirm | self._nack_instead

    def refuse(self, *, is_refusing: bool) -> None:
        """Refuse new connections and close the open connections, or accept connections again."""
        self._is_refusing = is_refusing
        if is_refusing:
            self.cut()

    def cut(self) -> None:
        """Close all open connections."""
        for writer in self._open.values():
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection of the program until either side closes it."""
        if self._is_refusing:
            writer.transport.abort()
            return
        self._connections += 1
        carrying = asyncio.create_task(self._carry(self._connections, reader, writer))
        self._open[carrying] = writer
        try:
            await asyncio.wait({carrying})
        finally:
            del self._open[carrying]
            await _close(writer)

    async def close(self) -> None:
        """Close all connections."""
        self.cut()
        for carrying in list(self._open):
            carrying.cancel()
            await asyncio.wait({carrying})

    async def _carry(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                to_broker = await asyncio.open_connection(self._target.host, self._target.port)
        except (OSError, TimeoutError):
            return  # the program sees a closed connection, as if the broker were unavailable
        broker_reader, broker_writer = to_broker
        ways = {
            asyncio.create_task(self._pump(number, Speaker.PROGRAM, reader, broker_writer)),
            asyncio.create_task(self._pump(number, Speaker.BROKER, broker_reader, writer)),
        }
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            if any(isinstance(way.exception(), _Cut) for way in done):
                writer.transport.abort()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _close(broker_writer)

    async def _pump(
        self, number: int, speaker: Speaker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        frames = FrameReader()
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                writer.write(self._note(number, speaker, frames, data))
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    def _note(self, number: int, speaker: Speaker, frames: FrameReader, data: bytes) -> bytes:
        """Record the frames in these bytes, and return the bytes to forward."""
        at = asyncio.get_running_loop().time() - self.began
        is_progress = False
        for read in frames.feed(data):
            self._break_before(number, speaker, read)
            frame, data = self._nacked(number, speaker, read, data)
            self._trace.take(number, speaker, frame, at=at)
            is_progress = is_progress or (
                speaker is Speaker.PROGRAM and isinstance(frame, Method) and frame.name in _PROGRESS
            )
        self._changes.notify(is_progress=is_progress)
        return data

    def _nacked(self, number: int, speaker: Speaker, frame: Frame, data: bytes) -> tuple[Frame, bytes]:
        """Return the frame and its bytes, with a nack instead of an ack if a case asked for a nack."""
        if not self._nack_instead or not isinstance(frame, Method):
            return frame, data
        if speaker is not Speaker.BROKER or frame.name != "basic.ack":
            return frame, data
        wanted = {needle for needle in self._nack_instead if self._has_open(number, needle)}
        if not wanted:
            return frame, data
        self._nack_instead -= wanted
        tag, multiple = frame.arguments["delivery_tag"], frame.arguments["multiple"]
        ack = _CONFIRM.pack(1, frame.channel, 13, 60, 80, tag, multiple, 0xCE)
        if (
            ack not in data
        ):  # the first piece of the frame is already forwarded, so the confirm is lost instead
            raise _Cut
        nack = _CONFIRM.pack(1, frame.channel, 13, 60, 120, tag, multiple, 0xCE)
        return replace(frame, name="basic.nack"), data.replace(ack, nack, 1)

    def _break_before(self, number: int, speaker: Speaker, frame: Frame) -> None:
        """Raise _Cut if a case asked to break the connection before this frame."""
        if not isinstance(frame, Method):
            return
        if speaker is Speaker.PROGRAM and self._cut_before_settling:
            settles = self.ledger.about_to_settle(number, frame.channel, frame.name, dict(frame.arguments))
            if wanted := settles & self._cut_before_settling:
                self._cut_before_settling -= wanted
                raise _Cut
        if speaker is Speaker.BROKER and frame.name in ("basic.ack", "basic.nack"):
            for needle in [each for each in self._cut_before_confirm if self._has_open(number, each)]:
                self._cut_before_confirm.discard(needle)
                raise _Cut

    def _has_open(self, number: int, needle: bytes) -> bool:
        """Return whether a publish with these bytes waits for its confirm on this connection."""
        return any(
            publication.answer is None and publication.is_confirming and needle in publication.event.body
            for publication in self.ledger.publications
            if publication.event.connection == number
        )


@asynccontextmanager
async def tapping(target: HostPort, changes: Changes) -> AsyncIterator[tuple[Tap, int]]:
    """Run a tap before the broker; yield the tap and its port on 127.0.0.1."""
    tap = Tap(target, changes)
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
