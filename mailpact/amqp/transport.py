"""aiormq's connection with three additions. All of them use aiormq's one hook, the factory of its transport.

The connection can be cut: a polite close waits for the broker, and a frozen broker with full buffers never answers.
The connection survives messages with malformed properties: see `content_header`.
The connection keeps the text with which the broker closed it: aiormq itself loses that text when, for instance, the
virtual host does not exist.
"""

import asyncio
from typing import Any, cast

from aiormq.connection import Connection as AiormqConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import InvalidFrameError
from yarl import URL

from mailpact.amqp.content_header import decodable
from mailpact.settings import AmqpUrl

HEARTBEAT_SECONDS = 10  # a dead peer is noticed after (10 + 1) * 3 seconds; aiormq's default of 60 means 183
METHOD_FRAME, HEADER_FRAME = b"\x01", b"\x02"
CONNECTION_CLOSE = b"\x00\x0a\x00\x32"  # class 10, method 50


class Connection(AiormqConnection):
    """A connection to the broker, not yet opened. `role` names the connection in the broker's list of connections."""

    def __init__(self, url: AmqpUrl, role: str) -> None:
        self._transport = _Transport()
        defaults = {"heartbeat": str(HEARTBEAT_SECONDS), "name": f"mailpact {role}"}
        address = URL.build(
            scheme="amqps" if url.is_tls else "amqp",
            user=url.user,
            password=url.password,
            host=url.host,
            port=url.port,
            query=defaults | dict(url.options),
        )
        super().__init__(address, transport_factory=self._transport)
        self.vhost = url.vhost

    @property
    def closing_code(self) -> int:
        """The code with which the broker closed the connection; 0 if the broker did not close it."""
        return self._transport.reader.closing_code if self._transport.reader else 0

    @property
    def last_words(self) -> str:
        """The code and the text with which the broker closed the connection; empty if the broker did not close it."""
        return self._transport.reader.last_words if self._transport.reader else ""

    def cut(self) -> None:
        """End the connection at once, whatever has not been sent yet; does nothing if it is closed already."""
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
    """Reads frames in the same steps as aiormq: one byte (type), six bytes (channel, size), then payload and end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.closing_code, self.last_words = 0, ""
        self._reader = reader
        self._frame_type = b""
        self._rest = b""

    def at_eof(self) -> bool:
        # The next read raises at the end of the stream. If this method told the end, aiormq would fail its callers with
        # a bare Exception.
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
            self.closing_code, length = int.from_bytes(read[4:6]), read[6]
            text = read[7 : 7 + length].decode(errors="replace")
            self.last_words = " ".join(f"{self.closing_code} {text}".split())
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
