"""Keeps two pieces of work on one message from running side by side in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class InFlight:
    """The messages that are worked on, by id. Whoever comes second waits until the first is done."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._holders: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, message_id: str) -> AsyncIterator[None]:
        """Have the message for oneself."""
        lock = self._locks.setdefault(message_id, asyncio.Lock())
        self._holders[message_id] = self._holders.get(message_id, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._holders[message_id] -= 1
            if not self._holders[message_id]:
                del self._holders[message_id], self._locks[message_id]
