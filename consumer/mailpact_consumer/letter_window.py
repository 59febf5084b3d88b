"""Limits the dead letters that wait for a confirm: one letter after a pause, and more after each confirm.

During a memory or disk alarm RabbitMQ blocks publishing. RabbitMQ reports this only after it has read the first
publish on a connection, and confirms this publish only after the alarm. All letters that were published at the same
time wait as long. If the consumer stops waiting for a confirm, it must write the letter a second time. So after a
pause only one letter is published, and the others follow after its confirm.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

MOST_LETTERS = 16
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 5.0


class LetterWindow:
    """The letters of one process that have no answer yet; `monotonic` is a clock in seconds that never jumps."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._allowed = 1
        self._in_flight = 0
        self._confirmed_at = float("-inf")
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[bool]:
        """Wait for a place to publish one letter.

        Yields False if no place became free within 5 seconds; then do not publish.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not self._has_room():
                    await self._changed.wait()
        except TimeoutError:
            yield False
            return
        self._in_flight += 1
        try:
            yield True
        finally:
            self._in_flight -= 1
            self._changed.set()
            self._changed = asyncio.Event()

    def confirmed(self) -> None:
        """Note that the broker has confirmed a letter."""
        self._allowed = min(self._allowed + 1, MOST_LETTERS)
        self._confirmed_at = self._monotonic()

    def _has_room(self) -> bool:
        if self._monotonic() - self._confirmed_at > PAUSE_SECONDS:
            self._allowed = 1
        return self._in_flight < self._allowed
