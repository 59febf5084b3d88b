"""aiormq's connection with three things that it has not. All hang on its one hook, the maker of its transport.

It can be cut: a polite close waits for the peer, and one that is frozen with full buffers never answers.
It survives odd messages: see `content_header`.
It keeps the broker's last words: of a refusal (a vhost that is not there) aiormq itself loses the text.
"""

import asyncio
from typing import Any, cast

from aiormq.connection import Connection as AiormqConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import InvalidFrameError
from yarl import URL

from mailpact.amqp.content_header import decodable

METHOD_FRAME, HEADER_FRAME = b"\x01", b"\x02"
CONNECTION_CLOSE = b"\x00\x0a\x00\x32"  # class 10, method 50


class Connection(AiormqConnection):
    """A connection to the broker, not yet opened."""

    def __init__(self, url: str) -> None:
        self._transport = _Transport()
        super().__init__(url, transport_factory=self._transport)

    @property
    def last_words(self) -> str:
        """Code and text with which the broker closed it; empty when it did not."""
        return self._transport.reader.last_words if self._transport.reader else ""

    def cut(self) -> None:
        """End it at once, whatever has not been said yet; does nothing when it is closed already."""
        self._transport.abort()


class _Transport(TransportFactory):
    def __init__(self) -> None:
        self.reader: _FrameReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, **options)
        self.reader = _FrameReader(reader)
        # aiormq calls nothing but the two methods that the frame reader has.
        return cast(asyncio.StreamReader, self.reader), self._writer

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class _FrameReader:
    """Reads as aiormq asks: the first byte of a frame (its type), six more (channel, size), then payload and end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.last_words = ""
        self._reader = reader
        self._frame_type = b""
        self._rest = b""

    def at_eof(self) -> bool:
        # The end shows itself at the next read. Told here, aiormq would fail its callers with a bare Exception.
        return False

    async def readexactly(self, count: int) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        read = await self._reader.readexactly(count)
        if count == 1:
            self._frame_type = read
        elif count == 6 and self._frame_type == HEADER_FRAME:
            return await self._content_header(read)
        elif self._frame_type == METHOD_FRAME and read.startswith(CONNECTION_CLOSE):
            code, length = int.from_bytes(read[4:6]), read[6]
            self.last_words = f"{code} {read[7 : 7 + length].decode(errors='replace')}"
        return read

    async def _content_header(self, channel_and_size: bytes) -> bytes:
        size = int.from_bytes(channel_and_size[2:])
        payload = await self._reader.readexactly(size)
        frame_end = await self._reader.readexactly(1)
        try:
            payload = decodable(payload)
        except ValueError as error:
            raise InvalidFrameError(str(error)) from error
        self._rest = payload + frame_end
        return channel_and_size[:2] + len(payload).to_bytes(4)
