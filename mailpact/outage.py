"""Logs that a server cannot be used, and that it can be used again.

A server that does not answer is logged once for the whole outage, because the service tries again by itself. A server
that refuses access (wrong password, unknown database) is logged as an error, and again each minute, because only an
operator can correct that.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog

REPEAT_SECONDS: Final = 60.0

log = structlog.get_logger()


class Outage:
    """The outages of one server, `name` in log lines; `context` is added to each line."""

    def __init__(
        self, name: str, *, monotonic: Callable[[], float] = time.monotonic, **context: object
    ) -> None:
        self._name = name
        self._monotonic = monotonic
        self._log = log.bind(**context)
        self._is_reported = False
        self._refusal = ""
        self._refusal_at = float("-inf")

    def report(self, reason: str, *, is_refused: bool, was_connected: bool = False) -> None:
        """Log a failed try, unless the failure is known already; `reason` is the text of the server or the system.

        `is_refused`: only an operator can correct the cause. `was_connected`: a connection that worked has ended.
        """
        now = self._monotonic()
        if is_refused and (reason != self._refusal or now - self._refusal_at >= REPEAT_SECONDS):
            self._log.error(f"the {self._name} refuses access, trying again", reason=reason)
            self._refusal, self._refusal_at = reason, now
        elif not is_refused and not self._is_reported:
            event = "connection to the %s lost" if was_connected else "cannot connect to the %s"
            self._log.warning(f"{event % self._name}, trying again", reason=reason)
        self._is_reported = True

    def end(self) -> None:
        """Log that the server can be used again, if its outage was logged."""
        if self._is_reported:
            self._log.warning(f"connection to the {self._name} restored")
        self._is_reported = False
