"""Let a coroutine wait for a condition without sleeping.

Each change makes the waiting coroutines check their condition.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LONGEST_WAIT = 20  # the longest wait as a multiple of its seconds, even if the program makes progress


class Changes:
    """Notifications of changes in everything that the kit observes: tap, mailbox, dead letters, the program's end."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._last_progress = 0.0

    def notify(self, *, is_progress: bool = False) -> None:
        """Wake all waiting coroutines. Progress (a mail, a settled message) also extends their time limits."""
        if is_progress:
            self._last_progress = asyncio.get_running_loop().time()
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(self, fact: Callable[[], T], *, seconds: float) -> T:
        """Return the value of `fact` as soon as it is true, or after `seconds` without progress.

        If a slow program makes progress, the wait lasts longer, at most 20 times `seconds`.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not (found := fact()):
            ends = min(max(started, self._last_progress) + seconds, started + LONGEST_WAIT * seconds)
            if loop.time() >= ends:
                break
            try:
                async with asyncio.timeout_at(ends):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return found
