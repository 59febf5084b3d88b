"""The buffer of received bytes of one connection that have not been read yet.

This class replaces asyncio's StreamReader, which needs several calls for each line and cannot put bytes back. The
buffer holds at most `HIGH_BYTES` and one packet. Then the transport stops reading until the conversation asks for
more.
"""

import asyncio
from typing import Final

HIGH_BYTES: Final = 128 * 1024


class Incoming:
    """The unread bytes of a connection: lines for commands, blocks for mail data."""

    def __init__(self, transport: asyncio.ReadTransport, *, max_line_bytes: int) -> None:
        self._transport = transport
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray()
        self._has_ended = False
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, chunk: bytes) -> None:
        """Append received bytes."""
        self._buffer += chunk
        if len(self._buffer) > HIGH_BYTES and not self._is_paused:
            self._transport.pause_reading()
            self._is_paused = True
        self._wake()

    def end(self) -> None:
        """Record that no more bytes will come."""
        self._has_ended = True
        self._wake()

    def go_on_from(self, transport: asyncio.ReadTransport) -> None:
        """Continue with another transport, which is not paused.

        Bytes that this transport has already delivered are kept.
        """
        if self._is_paused:
            self._transport.resume_reading()
        self._transport = transport
        self._is_paused = False

    async def line(self) -> bytes:
        """Return the next line without its LF or CRLF. If a line is over the limit, only its beginning is returned.

        Raises asyncio.IncompleteReadError if nothing more comes before the end of the line.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            del self._buffer[self._max_line_bytes :]
            searched = len(self._buffer)
            await self.more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line[: self._max_line_bytes].rstrip(b"\r\n")

    async def readline(self) -> bytes:
        """Return the next line. aiosmtpd calls this for the client's answers to AUTH."""
        return await self.line()

    def take(self) -> bytes:
        """Return all unread bytes; there may be none."""
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    def put_back(self, rest: bytes) -> None:
        """Put `rest` back, so that `rest` is read next."""
        self._buffer[:0] = rest

    async def more(self) -> None:
        """Return when further bytes have come; raise asyncio.IncompleteReadError if none will."""
        if self._has_ended:
            raise asyncio.IncompleteReadError(bytes(self._buffer[:1]), None)
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
