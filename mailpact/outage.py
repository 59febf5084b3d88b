"""Reports in the log that a server cannot be used, and that it can be used again.

A server that is away is reported once for the whole outage: the service tries again by itself, and an operator learns
nothing from a second line. A server that refuses access (wrong password, unknown database) is reported as an error and
again each minute: only an operator can mend that.
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
        """Report a failed try, unless the failure is known; `reason` is what the server or the system said.

        `is_refused` says that only an operator can mend it; `was_connected` that a connection which worked has ended.
        """
        if is_refused:
            self._report_refusal(reason)
        elif not self._is_reported:
            event = "connection to the %s lost" if was_connected else "cannot connect to the %s"
            self._log.warning(f"{event % self._name}, trying again", reason=reason)
        self._is_reported = True

    def end(self) -> None:
        """Report that the server can be used again, if its outage was reported."""
        if self._is_reported:
            self._log.warning(f"connection to the {self._name} restored")
        self._is_reported = False

    def _report_refusal(self, reason: str) -> None:
        now = self._monotonic()
        if reason != self._refusal or now - self._refusal_at >= REPEAT_SECONDS:
            self._log.error(f"the {self._name} refuses access, trying again", reason=reason)
            self._refusal, self._refusal_at = reason, now
