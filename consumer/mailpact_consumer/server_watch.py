"""Watches the mail server: pauses consuming while the server is in trouble, and probes the server until it works again.

While the breaker is open, no mail is tried. Messages that were already delivered go to the shortest retry queue, and
their attempts are not counted. All other messages wait in the work queue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from mailpact_consumer.breaker import Breaker
from mailpact_consumer.reply import SERVICE_CLOSING, Scope, Trouble

FIRST_PROBE_SECONDS = 1.0
LONGEST_PROBE_SECONDS = 30.0

log = structlog.get_logger()


class ServerWatch:
    """The breaker of one mail server. `probe` returns the trouble that the server has now, or None."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[Trouble | None]],
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._probe = probe
        self._pause = pause
        self._resume = resume
        self._breaker = Breaker()
        self._opened = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Return whether the mail server is in trouble, so that nothing is tried."""
        return self._breaker.is_open

    @property
    def reason(self) -> str:
        """Return what is wrong with the mail server; the text is empty if the server works."""
        return self._breaker.reason

    def succeeded(self) -> None:
        """Record that the server accepted a mail."""
        self._breaker.succeeded(time.monotonic())

    def report(self, trouble: Trouble, recipient: str) -> None:
        """Record a try that ended in trouble; `recipient` only serves to tell recipients apart."""
        now, is_news = time.monotonic(), False
        if trouble.scope is Scope.SERVER:
            may_be_busy = trouble.code in (None, SERVICE_CLOSING)
            is_news = self._breaker.server_trouble(trouble.reason, now, may_be_busy=may_be_busy)
        elif trouble.code == SERVICE_CLOSING:
            is_news = self._breaker.doubtful_trouble(recipient, trouble.reason, now)
        if is_news:
            say = log.error if trouble.setting else log.warning
            say("the mail server is in trouble, consuming pauses", reason=trouble.reason)
            self._pause()
            self._opened.set()

    async def run(self) -> NoReturn:
        """Probe the server whenever the breaker is open, until cancelled."""
        while True:
            await self._opened.wait()
            self._opened.clear()
            wait = FIRST_PROBE_SECONDS
            while True:
                await asyncio.sleep(wait)
                trouble = await self._probe()
                if trouble is None:
                    break
                if trouble.reason != self._breaker.reason:
                    say = log.error if trouble.setting else log.warning
                    say("the mail server is still in trouble", reason=trouble.reason)
                    self._breaker.reason = trouble.reason
                wait = min(2 * wait, LONGEST_PROBE_SECONDS)
            self._breaker.close(time.monotonic())
            log.warning("the mail server answers again, consuming resumes")
            self._resume()
