"""aiormq's connection with four additions. All of them use aiormq's one hook, the factory of its transport.

The connection can be cut: a polite close waits for the broker, and a frozen broker with full buffers never answers.
The connection survives messages with malformed properties: see `content_header`.
The connection keeps the text with which the broker closed it: aiormq itself loses that text when, for instance, the
virtual host does not exist.
The connection can pass the deliveries of a channel on by itself: aiormq reads each of their frames in three steps,
puts each through a queue and starts a task for each delivery, which takes more CPU time than the rest of a mail's way
through AMQP.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from aiormq.connection import Connection as AiormqConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import InvalidFrameError
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from yarl import URL

from mailpact.amqp.content_header import decodable
from mailpact.settings import AmqpUrl

HEARTBEAT_SECONDS = 10  # a dead peer is noticed after (10 + 1) * 3 seconds; aiormq's default of 60 means 183
METHOD_FRAME, HEADER_FRAME = 1, 2
FRAME_TYPES: Final = frozenset({METHOD_FRAME, HEADER_FRAME, 3, 8})  # with bodies and heartbeats
CONNECTION_CLOSE = b"\x00\x0a\x00\x32"  # class 10, method 50
BASIC_DELIVER = b"\x00\x3c\x00\x3c"  # class 60, method 60
PAYLOAD_AT: Final = 7  # after type, channel and size
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
READ_BYTES = 65_536


@dataclass(slots=True)
class Delivered:
    """One delivered message as the broker sent it."""

    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Basic.Properties
    body: bytes


Receive = Callable[[Delivered], None]
"""Takes a delivery; it must not block or raise."""


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
        """Return the code with which the broker closed the connection; 0 if the broker did not close it."""
        return self._transport.reader.closing_code if self._transport.reader else 0

    @property
    def last_words(self) -> str:
        """The code and the text with which the broker closed the connection; empty if the broker did not close it."""
        return self._transport.reader.last_words if self._transport.reader else ""

    def pass_deliveries_on(self, channel: int, receive: Receive) -> None:
        """Give the deliveries on a channel of this number to `receive` instead of aiormq's consumers."""
        assert self._transport.reader is not None  # noqa: S101  # a channel has an open connection
        self._transport.reader.receivers[channel] = receive

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
    """Gives aiormq frames in its own steps: one byte (type), six bytes (channel, size), then payload and end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.closing_code, self.last_words = 0, ""
        self.receivers: dict[int, Receive] = {}
        self._reader = reader
        self._read = bytearray()
        self._frame = b""
        self._given_at = 0.0

    def at_eof(self) -> bool:
        # The next read raises at the end of the stream. If this method told the end, aiormq would fail its callers with
        # a bare Exception.
        return False

    async def readexactly(self, count: int) -> bytes:
        frame = self._frame or await self._next_for_aiormq()
        piece, self._frame = frame[:count], frame[count:]
        return piece

    async def _next_for_aiormq(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            frame = await self._next()
            if frame[0] == METHOD_FRAME and frame.startswith(BASIC_DELIVER, PAYLOAD_AT):
                receive = self.receivers.get(int.from_bytes(frame[1:3]))
                if receive is not None:
                    receive(await self._delivery(frame))
                    if loop.time() - self._given_at < 1:
                        continue
                    # aiormq gives a connection up from which it has seen no frame for a while.
                    frame = HEARTBEAT
            elif frame[0] == HEADER_FRAME:
                frame = _with_decodable_header(frame)
            elif frame[0] == METHOD_FRAME and frame.startswith(CONNECTION_CLOSE, PAYLOAD_AT):
                self._keep_last_words(frame[PAYLOAD_AT:])
            self._given_at = loop.time()
            return frame

    async def _next(self) -> bytes:
        """Return the next whole frame; or, where no frame begins, the bytes that aiormq refuses."""
        read = self._read
        while len(read) < PAYLOAD_AT:
            await self._read_more()
        size = int.from_bytes(read[3:7]) if read[0] in FRAME_TYPES else 0
        end = PAYLOAD_AT + size + 1
        while len(read) < end:
            await self._read_more()
        frame = bytes(read[:end])
        del read[:end]
        return frame

    async def _read_more(self) -> None:
        more = await self._reader.read(READ_BYTES)
        if not more:
            raise asyncio.IncompleteReadError(bytes(self._read), None)
        self._read += more

    async def _delivery(self, method: bytes) -> Delivered:
        start = PAYLOAD_AT + 5 + method[PAYLOAD_AT + 4]  # after class, method and consumer tag
        exchange, end = _short_text(method, start + 9)
        routing_key, _ = _short_text(method, end)
        header = _decoded(_payload(await self._next()))
        body = b""
        while len(body) < header.body_size:
            body += _payload(await self._next())
        return Delivered(
            tag=int.from_bytes(method[start : start + 8]),
            redelivered=bool(method[start + 8] & 1),
            exchange=exchange,
            routing_key=routing_key,
            properties=header.properties,
            body=body,
        )

    def _keep_last_words(self, method: bytes) -> None:
        self.closing_code, length = int.from_bytes(method[4:6]), method[6]
        text = method[7 : 7 + length].decode(errors="replace")
        self.last_words = " ".join(f"{self.closing_code} {text}".split())


def _payload(frame: bytes) -> bytes:
    return frame[PAYLOAD_AT:-1]


def _short_text(method: bytes, start: int) -> tuple[str, int]:
    end = start + 1 + method[start]
    return method[start + 1 : end].decode(errors="replace"), end


def _decoded(payload: bytes) -> ContentHeader:
    """Return the decoded payload of a header frame. Raises InvalidFrameError for one that is cut short."""
    header = ContentHeader()
    try:
        header.unmarshal(payload)
    except Exception:  # noqa: BLE001  # a malformed payload can raise anything (see `content_header.py`)
        header = ContentHeader()
        header.unmarshal(_decodable(payload))
    return header


def _with_decodable_header(frame: bytes) -> bytes:
    """Return a header frame that pamqp can decode. Raises InvalidFrameError for one that is cut short."""
    payload = _payload(frame)
    changed = _decodable(payload)
    return frame if changed is payload else frame[:3] + len(changed).to_bytes(4) + changed + frame[-1:]


def _decodable(payload: bytes) -> bytes:
    try:
        return decodable(payload)
    except ValueError as error:
        raise InvalidFrameError(str(error)) from error
