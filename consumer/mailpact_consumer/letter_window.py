"""How many dead letters are on their way to the broker at once: one after a pause, and more with each confirm.

RabbitMQ says that it blocks publishing (a memory or disk alarm) only after it has read the first publish on a
connection, and it answers that publish when the alarm is over. Whatever was published together with it waits as long. A
letter whose answer nobody waits for is written a second time. So after a pause one letter goes alone, and the others
follow when the broker has confirmed it.
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
        """Enter to publish one letter; False when no place became free within 5 seconds: then nothing is published."""
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
