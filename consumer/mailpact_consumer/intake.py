"""Starts a task for each delivery. Two tasks for the same message never run at the same time."""

import asyncio
from collections.abc import Awaitable, Callable

from mailpact.amqp.subscriber import Delivery
from mailpact_consumer.slots import Slot, Slots

SUSPECT_RETURNS = 3

IsOurs = Callable[[], bool]
"""Returns whether this process can still settle a delivery; False if the broker has taken the delivery back."""

Handle = Callable[[Delivery, IsOurs, Slot], Awaitable[None]]
"""Settles a delivery, or leaves it unsettled if the process stops or the broker has taken the delivery back."""


class Intake:
    """The deliveries that this process works on.

    Their tasks continue after a lost connection, to finish a started mail.
    """

    def __init__(self, tasks: asyncio.TaskGroup, slots: Slots, handle: Handle) -> None:
        self._tasks = tasks
        self._slots = slots
        self._handle = handle
        self._running: set[asyncio.Task[None]] = set()
        self._session = 0

    def begin_session(self) -> None:
        """Begin a new session of consuming: the broker has put all unsettled messages back and will deliver them again.

        A task for an old delivery ends as soon as no mail is being sent. Otherwise each new connection would add more
        held messages, and a message without an id would certainly be mailed twice.
        """
        self._session += 1

    def receive(self, delivery: Delivery) -> None:
        """Start to work on a delivery; returns at once."""
        session = self._session
        task = self._tasks.create_task(self._work_on(delivery, lambda: self._session == session))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self, *, within_seconds: float) -> bool:
        """Wait until all tasks have ended; return False if some have not ended in time."""
        if not self._running:
            return True
        _, unfinished = await asyncio.wait(self._running, timeout=within_seconds)
        return not unfinished

    def cancel(self) -> None:
        """Cancel the tasks that have not ended."""
        for task in self._running:
            task.cancel()

    async def _work_on(self, delivery: Delivery, is_ours: IsOurs) -> None:
        slot = await self._slots.take(is_suspect=delivery.delivery_count >= SUSPECT_RETURNS)
        try:
            await self._handle(delivery, is_ours, slot)
        finally:
            slot.give_back()
