"""One connection to the mail server. Several commands are sent in one write, and their replies are awaited together.

An unexpected reply makes the connection unusable, because the reply could be read as the answer to a later command. A
timeout makes the connection unusable, too. The caller gets all expected replies, or NoAnswer with the replies that
arrived.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from mailpact_consumer.smtp_grammar import Reply, ReplyParser, ReplyTooLong

SLOW_SECONDS = 1.0


class NoAnswer(Exception):
    """Some replies did not arrive.

    `replies` are the replies that arrived; the message says why the others are missing.
    """

    def __init__(self, reason: str, replies: tuple[Reply, ...] = ()) -> None:
        super().__init__(reason)
        self.replies = replies


def _ignore(*, is_slow: bool) -> None:
    del is_slow


class Connection(asyncio.Protocol):
    """One connection. The code that opens it calls `close`."""

    def __init__(self) -> None:
        self.tell_slow: Callable[..., None] = _ignore
        """Called with `is_slow=True` when an answer has not come within 1 s, with `is_slow=False` after the wait."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._replies: list[Reply] = []
        self._wanted = 1  # the server sends the greeting first
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waits_since, self._limit_seconds, self._is_slow = 0.0, 0.0, False
        self._lost: str | None = None

    @property
    def is_usable(self) -> bool:
        """Return whether a command may be sent."""
        return self._lost is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read replies (asyncio calls this)."""
        if self._lost is not None:
            return
        try:
            self._replies += self._parser.feed(data)
        except ReplyTooLong:
            self._lose("the server sent a reply that is too long")
            return
        if len(self._replies) > self._wanted or (not self._wanted and not self._parser.is_empty):
            self._lose("the server sent a reply to no command")
        elif self._wanted and len(self._replies) == self._wanted:
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the wait for an answer (asyncio calls this)."""
        self._lose("the connection is closed" if error is None else f"the connection broke ({error!r})")

    async def ask(self, data: bytes, replies: int, seconds: float) -> tuple[Reply, ...]:
        """Send bytes and return that many replies.

        Raises NoAnswer, also after `seconds`; then the connection is unusable.
        """
        if self._lost is not None or self._transport is None:
            raise NoAnswer(self._reason)
        self._wanted = replies
        if data:
            self._transport.write(data)
        if len(self._replies) < replies:
            waiter = self._begin_wait(seconds)
            try:
                await waiter
            except BaseException:
                self.close()
                raise
            finally:
                self._end_wait()
        came, self._replies, self._wanted = tuple(self._replies), [], 0
        if len(came) < replies:
            raise NoAnswer(self._reason, came)
        if not self._parser.is_empty:
            self._lose("the server sent a reply to no command")
        return came[:replies]

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Encrypt the connection and check the certificate for `host`. Raises OSError (ssl.SSLError too) or NoAnswer.

        Clear text that an attacker appends to the reply to STARTTLS would be read as encrypted text. So `ask` makes
        such a connection unusable.
        """
        if self._lost is not None or self._transport is None:
            raise NoAnswer(self._reason)
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_hostname=host, ssl_handshake_timeout=seconds
            )
        except BaseException:
            self.close()
            raise
        if transport is None:
            self._lose("the connection is closed")
            raise NoAnswer("the connection is closed")
        self._transport = transport

    def close(self) -> None:
        """Close the connection at once; a wait for an answer ends with NoAnswer."""
        self._lose("the connection was given up")

    @property
    def _reason(self) -> str:
        return self._lost or "the connection is closed"

    def _begin_wait(self, seconds: float) -> "asyncio.Future[None]":
        waiter = self._waiter = self._loop.create_future()
        self._limit_seconds, self._waits_since = seconds, self._loop.time()
        self._is_slow = False
        # An existing timer is reused: it fires early and then waits for the remaining time. So most answers need no
        # new timer.
        if self._timer is None or seconds < SLOW_SECONDS:
            self._look_after(min(seconds, SLOW_SECONDS))
        return waiter

    def _end_wait(self) -> None:
        self._waiter = None
        if self._is_slow:
            self._is_slow = False
            self.tell_slow(is_slow=False)

    def _look_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Check how long the answer has been missing, and check again when the next limit is reached."""
        self._timer = None
        if self._waiter is None or self._lost is not None:
            return
        waited = self._loop.time() - self._waits_since
        if waited >= self._limit_seconds:
            self._lose(f"no answer within {self._limit_seconds:.0f} s")
            return
        if waited >= SLOW_SECONDS and not self._is_slow:
            self._is_slow = True
            self.tell_slow(is_slow=True)
        next_limit = self._limit_seconds if self._is_slow else min(SLOW_SECONDS, self._limit_seconds)
        self._look_after(next_limit - waited)

    def _lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
