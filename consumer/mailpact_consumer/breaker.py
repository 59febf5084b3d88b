"""Whether the mail server as a whole is in trouble. No I/O: outcomes and the time come in, the state goes out.

Trouble of the server (no connection, 421 or 5xx before RCPT, a refused login) opens the breaker at once: no message is
to blame, so none may pay with an attempt. One exception: a server that refuses only further connections (421, or no
connection) while it has taken a mail, or answered a probe, within the last 5 seconds is busy, not away.

A 421 at RCPT or later may be about that one recipient, who may be answered so for ever. Such outcomes open the breaker
only when five different recipients met them in a row without a mail that was taken.
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
        """Note that the server took a mail."""
        self._doubtful.clear()
        self._last_success = now

    def server_trouble(self, reason: str, now: float, *, may_be_busy: bool) -> bool:
        """Note trouble of the whole server; return True when this opened the breaker.

        `may_be_busy`: the server only had no place for a further connection.
        """
        if may_be_busy and now - self._last_success < BUSY_SECONDS:
            return False
        return self._open(reason, now)

    def doubtful_trouble(self, recipient: Hashable, reason: str, now: float) -> bool:
        """Note a 421 once a recipient was named; return True when this opened the breaker."""
        self._doubtful.add(recipient)
        return len(self._doubtful) >= RECIPIENTS_IN_A_ROW and self._open(reason, now)

    def close(self, now: float) -> None:
        """Note that the server would take a mail. If it has few connections to give, the next may be refused."""
        self.is_open, self.reason = False, ""
        self.succeeded(now)

    def _open(self, reason: str, now: float) -> bool:
        if self.is_open:
            return False
        self.is_open, self.reason, self.since = True, reason, now
        return True
