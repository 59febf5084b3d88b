"""aiormq's connection with four additions. All of them use aiormq's one hook, the factory of its transport.

- The connection can be cut: a polite close waits for the broker, and a frozen broker with full buffers never answers.
- A message with malformed properties does not end the connection: see `content_header`.
- The text with which the broker closed the connection is kept. aiormq loses this text, for instance when the virtual
  host does not exist.
- The connection can pass the deliveries on a channel to a function. aiormq reads each frame in three steps, puts each
  through a queue and starts a task for each delivery. This takes more CPU time than all else that a mail needs of AMQP.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from aiormq.connection import Connection as AiormqConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from mailpact.amqp.content_header import decodable, decoded
from mailpact.amqp.messages import Message
from mailpact.settings import AmqpUrl

HEARTBEAT_SECONDS = 10  # a dead peer is noticed after (10 + 1) * 3 seconds; aiormq's default of 60 means 183
METHOD_FRAME, HEADER_FRAME = 1, 2
FRAME_TYPES: Final = frozenset({METHOD_FRAME, HEADER_FRAME, 3, 8})  # with bodies and heartbeats
CONNECTION_CLOSE = b"\x00\x0a\x00\x32"  # class 10, method 50
BASIC_DELIVER = b"\x00\x3c\x00\x3c"  # class 60, method 60
PAYLOAD_AT: Final = 7  # after type, channel and size
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
READ_BYTES = 65_536


Delivered = tuple[int, bool, str, str, Message]
"""A delivery as the broker sent it: delivery tag, whether redelivered, exchange, routing key, message."""
Receive = Callable[[Delivered], None]
"""Takes a delivery; it must not block or raise."""


class Connection(AiormqConnection):
    """A connection to the broker, not yet opened. `role` names the connection in the broker's list of connections."""

    def __init__(self, url: AmqpUrl, role: str) -> None:
        self.frames = _Frames()
        defaults = {"heartbeat": str(HEARTBEAT_SECONDS), "name": f"mailpact {role}"}
        address = URL.build(
            scheme="amqps" if url.is_tls else "amqp",
            user=url.user,
            password=url.password,
            host=url.host,
            port=url.port,
            query=defaults | dict(url.options),
        )
        super().__init__(address, transport_factory=self.frames)
        self.vhost = url.vhost

    def cut(self) -> None:
        """End the connection at once, whatever has not been sent yet; does nothing if it is closed already."""
        if self.frames.writer is not None:
            self.frames.writer.transport.abort()


class _Frames(TransportFactory):
    """Opens the connection's stream, and gives aiormq the frames in its own steps: one byte, six bytes, the rest.

    `receivers` get the deliveries on the channels of their numbers; aiormq does not see these deliveries.
    `closing_code` and `last_words` are the code and text with which the broker closed the connection, else 0 and "".
    """

    stream: asyncio.StreamReader

    def __init__(self) -> None:
        self.closing_code, self.last_words = 0, ""
        self.receivers: dict[int, Receive] = {}
        self.writer: asyncio.StreamWriter | None = None
        self._read = bytearray()
        self._frame = b""
        self._given_at = 0.0

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        self.stream, self.writer = await factory.create(url, **options)
        # aiormq calls nothing but the two methods that follow.
        return cast(asyncio.StreamReader, self), self.writer

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
                payload = decodable(_payload(frame))
                frame = frame[:3] + len(payload).to_bytes(4) + payload + frame[-1:]
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
        more = await self.stream.read(READ_BYTES)
        if not more:
            raise asyncio.IncompleteReadError(bytes(self._read), None)
        self._read += more

    async def _delivery(self, method: bytes) -> Delivered:
        start = PAYLOAD_AT + 5 + method[PAYLOAD_AT + 4]  # after class, method and consumer tag
        exchange, end = _short_text(method, start + 9)
        routing_key, _ = _short_text(method, end)
        header = decoded(_payload(await self._next()))
        body = b""
        while len(body) < header.body_size:
            body += _payload(await self._next())
        tag, redelivered = int.from_bytes(method[start : start + 8]), bool(method[start + 8] & 1)
        return tag, redelivered, exchange, routing_key, Message.received(body, header.properties)

    def _keep_last_words(self, method: bytes) -> None:
        self.closing_code, length = int.from_bytes(method[4:6]), method[6]
        text = method[7 : 7 + length].decode(errors="replace")
        self.last_words = " ".join(f"{self.closing_code} {text}".split())


def _payload(frame: bytes) -> bytes:
    return frame[PAYLOAD_AT:-1]


def _short_text(method: bytes, start: int) -> tuple[str, int]:
    end = start + 1 + method[start]
    return method[start + 1 : end].decode(errors="replace"), end
