"""Takes deliveries in: each becomes a task of ours, and two of the same message never run side by side.

A message that came back several times may be one that kills the process. Those are worked on one by one in a random
order, so that each new start gets some of its innocent neighbours done before all of them are out of deliveries.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from mailpact.amqp.subscriber import Delivery

SUSPECT_RETURNS = 3
SHUFFLE_SECONDS = 0.5

Handle = Callable[[Delivery, Callable[[], bool]], Awaitable[None]]
"""Settles a delivery; the second argument says whether it is still ours to settle, or the broker's again."""


class Intake:
    """The deliveries that this process works on. Its tasks outlive a lost connection: a mail is finished."""

    def __init__(self, tasks: asyncio.TaskGroup, handle: Handle) -> None:
        self._tasks = tasks
        self._handle = handle
        self._running: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Lock()
        self._session = 0

    def begin_session(self) -> None:
        """Take note that consuming begins anew: all that is unsettled was put back and will be delivered again.

        Work on it is given up as soon as nothing is on its way to the mail server. Otherwise every new connection
        would add as much again to what is held, and a message without an id would certainly go out twice.
        """
        self._session += 1

    def receive(self, delivery: Delivery) -> None:
        """Start to work on a delivery; returns at once."""
        session = self._session
        task = self._tasks.create_task(self._work_on(delivery, lambda: self._session == session))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self, *, within_seconds: float) -> None:
        """Wait until everything taken in is done with; what is not by then is cancelled."""
        if self._running:
            _, unfinished = await asyncio.wait(self._running, timeout=within_seconds)
            for task in unfinished:
                task.cancel()

    async def _work_on(self, delivery: Delivery, is_ours: Callable[[], bool]) -> None:
        if delivery.delivery_count < SUSPECT_RETURNS:
            await self._handle(delivery, is_ours)
            return
        await asyncio.sleep(random.uniform(0.0, SHUFFLE_SECONDS))  # noqa: S311  # an order, not a secret
        async with self._alone:
            await self._handle(delivery, is_ours)


class InFlight:
    """The messages in flight in this process, by id. A second delivery of one waits until the first is done."""

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
