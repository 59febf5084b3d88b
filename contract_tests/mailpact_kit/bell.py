"""Lets a coroutine wait for a fact instead of sleeping: whoever sees something rings, whoever waits looks again."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Bell:
    """One bell for everything that the kit watches: tap, mailbox, dead letters, the program's end."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def until(self, fact: Callable[[], T], *, seconds: float) -> T:
        """Return the fact as soon as it is true, or as it is when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := fact()):
                    await self._rung.wait()
                return found
        except TimeoutError:
            return fact()
