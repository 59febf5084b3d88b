"""Read mail data: find its end and remove doubled dots (RFC 5321, 4.1.1.4 and 4.5.2).

Mail data ends only at CRLF "." CRLF. Servers that also accept a lone LF or CR around the dot allow SMTP smuggling:
one mail contains a second mail that the previous server did not see. So a line ends only at CRLF here. Every other
byte, also a lone CR or LF, is kept as received. If a line begins with a dot, this dot is removed.

aiosmtpd's own reader is not used for three reasons. It refuses lines over 1,001 octets, which real HTML mail has. It
makes an object for every line. It holds a whole endless line in memory before it refuses the line.
"""

from enum import Enum, auto
from typing import Final

END: Final = b"\r\n.\r\n"
LINE_END: Final = b"\r\n"


class Refusal(Enum):
    """Why mail data is refused. The rest of the data is still read up to its end, and is discarded."""

    TOO_LARGE = auto()
    LINE_TOO_LONG = auto()
    TOO_MUCH_AT_ONCE = auto()


class DataReader:
    """Reads mail data in chunks of any size until the end of the data.

    `max_bytes` limits the data as sent, with doubled dots. `max_line_bytes` limits a line without its CRLF. The
    reader holds at most `max_bytes` and one chunk in memory.
    """

    def __init__(self, *, max_bytes: int, max_line_bytes: int) -> None:
        self.refusal: Refusal | None = None
        self._max_bytes = max_bytes
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray(LINE_END)  # the CRLF of the DATA command: the first byte may be a dot
        self._line = len(LINE_END)  # where the first line starts whose length is not yet checked

    def feed(self, chunk: bytes) -> bytes | None:
        """Read the next chunk.

        Return the bytes that follow the end of the data; None if the end has not been read yet.
        """
        searched = max(0, len(self._buffer) - len(END) + 1)
        self._buffer += chunk
        end = self._buffer.find(END, searched)
        rest = None
        if end >= 0:
            rest = bytes(self._buffer[end + len(END) :])
            del self._buffer[end + len(LINE_END) :]
        self._check_limits()
        return rest

    def refuse(self, refusal: Refusal) -> None:
        """Discard all data, received and to come. The first reason is kept."""
        self.refusal = self.refusal or refusal
        del self._buffer[: 1 - len(END)]

    def content(self) -> bytes:
        """Return the data without its end mark and without doubled dots. Call this once, after `feed` found the end.

        The data is copied once, or twice if one of its lines begins with a dot (this matters for a mail of 30 MB).
        """
        buffer, self._buffer = self._buffer, bytearray()
        if buffer.find(b"\r\n.") >= 0:
            buffer = buffer.replace(b"\r\n.", LINE_END)
        with memoryview(buffer) as view:
            return bytes(view[len(LINE_END) :])

    def _check_limits(self) -> None:
        if self.refusal:
            self.refuse(self.refusal)
        elif len(self._buffer) - len(LINE_END) > self._max_bytes:
            self.refuse(Refusal.TOO_LARGE)
        elif self._has_long_line():
            self.refuse(Refusal.LINE_TOO_LONG)

    def _has_long_line(self) -> bool:
        """Return whether a line is too long.

        The search for a CRLF is made once for each `max_line_bytes` bytes, so thousands of short lines are skipped at
        once.
        """
        window = self._max_line_bytes + len(LINE_END)
        while len(self._buffer) - self._line >= window:
            line_end = self._buffer.rfind(LINE_END, self._line, self._line + window)
            if line_end < 0:
                return True
            self._line = line_end + len(LINE_END)
        return False
