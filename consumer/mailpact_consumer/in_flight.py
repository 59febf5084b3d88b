"""Prevents two tasks of this process from working on the same message at the same time."""

import asyncio


class InFlight:
    """The messages that are being worked on, by id. A second task for a message waits until the first has finished."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._holders: dict[str, int] = {}

    def hold(self, message_id: str) -> "_Hold":
        """Return a context in which only the caller works on the message."""
        return _Hold(self, message_id)

    async def take(self, message_id: str) -> None:
        """Wait until no other task works on the message."""
        lock = self._locks.setdefault(message_id, asyncio.Lock())
        self._holders[message_id] = self._holders.get(message_id, 0) + 1
        try:
            await lock.acquire()
        except BaseException:
            self._leave(message_id)
            raise

    def give_back(self, message_id: str) -> None:
        """Let the next waiting task work on the message."""
        self._locks[message_id].release()
        self._leave(message_id)

    def _leave(self, message_id: str) -> None:
        self._holders[message_id] -= 1
        if not self._holders[message_id]:
            del self._holders[message_id], self._locks[message_id]


class _Hold:
    """The context. A generator with `asynccontextmanager` would take five times as long for each mail."""

    __slots__ = ("_in_flight", "_message_id")

    def __init__(self, in_flight: InFlight, message_id: str) -> None:
        self._in_flight, self._message_id = in_flight, message_id

    async def __aenter__(self) -> None:
        await self._in_flight.take(self._message_id)

    async def __aexit__(self, *_: object) -> None:
        self._in_flight.give_back(self._message_id)
