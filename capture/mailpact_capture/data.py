"""The end of DATA and its transparency (RFC 5321, 4.1.1.4 and 4.5.2).

Mail data ends at CRLF "." CRLF and at nothing else. Servers that also took a lone LF or CR around the dot
let a mail smuggle a second one past the server before them. So a line here ends at CRLF only, and every
other byte, lone CR and LF included, is kept exactly as it came; of a line's leading dots the first is taken away.

aiosmtpd's own reader is not used: it refuses lines over 1,001 octets, which real HTML mail has, it costs an
object for every line, and it keeps the whole of an endless line in memory before it refuses it.
"""

from enum import Enum, auto
from typing import Final

END: Final = b"\r\n.\r\n"
LINE_END: Final = b"\r\n"


class Refusal(Enum):
    """Why mail data is not taken; the rest of it is still read, up to its end, and thrown away."""

    TOO_LARGE = auto()
    LINE_TOO_LONG = auto()
    TOO_MUCH_AT_ONCE = auto()


class DataReader:
    """Takes mail data in chunks of any size until its end has come.

    `max_bytes` counts the data as on the wire, doubled dots included; `max_line_bytes` a line without its CRLF.
    At most `max_bytes` and one chunk are held.
    """

    def __init__(self, *, max_bytes: int, max_line_bytes: int) -> None:
        self.refusal: Refusal | None = None
        self._max_bytes = max_bytes
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray(LINE_END)  # the CRLF of the DATA command: a dot may be the very first byte
        self._line = len(LINE_END)  # where the first line starts that is not known to be short enough

    def feed(self, chunk: bytes) -> bytes | None:
        """Take the next chunk; give what follows the end of the data, None while it goes on."""
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
        """Throw away what has come and will come; the first reason stays."""
        self.refusal = self.refusal or refusal
        del self._buffer[: 1 - len(END)]

    def content(self) -> bytes:
        """Return the data without its end and with single dots, after `feed` found the end; can be called once.

        A mail of 30 MB is copied once, and twice only if a line of it begins with a dot.
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
        """Look for a CRLF in each window that a longest line fills, so short lines are stepped over by the thousand."""
        window = self._max_line_bytes + len(LINE_END)
        while len(self._buffer) - self._line >= window:
            line_end = self._buffer.rfind(LINE_END, self._line, self._line + window)
            if line_end < 0:
                return True
            self._line = line_end + len(LINE_END)
        return False
