"""Decides whether the whole mail server is in trouble. No I/O: outcomes and the time are arguments.

Trouble of the server (no connection, 421 or 5xx before RCPT, a refused login) opens the breaker at once: the cause is
not a message, so no message loses an attempt. There is one exception: if the server refuses only further connections
(421, or no connection), and has accepted a mail or answered a probe within the last 5 seconds, the server is busy,
not unavailable.

A 421 at RCPT or later may concern only this recipient, and may be repeated for ever. Such outcomes open the breaker
only after five different recipients in a row, without an accepted mail between them.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

RECIPIENTS_IN_A_ROW = 5
BUSY_SECONDS = 5.0


@dataclass(slots=True)
class Breaker:
    """The state of one mail server; `now` is a clock in seconds that never jumps."""

    is_open: bool = False
    reason: str = ""
    since: float = 0.0
    _doubtful: set[Hashable] = field(default_factory=set)
    _last_success: float = float("-inf")

    def succeeded(self, now: float) -> None:
        """Record that the server accepted a mail."""
        self._doubtful.clear()
        self._last_success = now

    def server_trouble(self, reason: str, now: float, *, may_be_busy: bool) -> bool:
        """Record trouble of the whole server; return True if this opened the breaker.

        `may_be_busy` means that the server refused only a further connection.
        """
        if may_be_busy and now - self._last_success < BUSY_SECONDS:
            return False
        return self._open(reason, now)

    def doubtful_trouble(self, recipient: Hashable, reason: str, now: float) -> bool:
        """Record a 421 at RCPT or later; return True if this opened the breaker."""
        self._doubtful.add(recipient)
        return len(self._doubtful) >= RECIPIENTS_IN_A_ROW and self._open(reason, now)

    def close(self, now: float) -> None:
        """Record that the server would accept a mail. The server may still refuse further connections."""
        self.is_open, self.reason = False, ""
        self.succeeded(now)

    def _open(self, reason: str, now: float) -> bool:
        if self.is_open:
            return False
        self.is_open, self.reason, self.since = True, reason, now
        return True
