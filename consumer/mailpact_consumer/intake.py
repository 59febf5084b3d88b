"""Takes deliveries in: each becomes a task of ours, and two of the same message never run side by side."""

import asyncio
from collections.abc import Awaitable, Callable

from mailpact.amqp.subscriber import Delivery
from mailpact_consumer.slots import Slot, Slots

SUSPECT_RETURNS = 3

IsOurs = Callable[[], bool]
"""Says whether a delivery is still ours to settle, or the broker's again."""

Handle = Callable[[Delivery, IsOurs, Slot], Awaitable[None]]
"""Settles a delivery, or leaves it unsettled when stopping or when it is not ours any more."""


class Intake:
    """The deliveries that this process works on. Its tasks outlive a lost connection: a mail is finished."""

    def __init__(self, tasks: asyncio.TaskGroup, slots: Slots, handle: Handle) -> None:
        self._tasks = tasks
        self._slots = slots
        self._handle = handle
        self._running: set[asyncio.Task[None]] = set()
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

    async def finish(self, *, within_seconds: float) -> bool:
        """Wait until everything taken in is done with; False when something is not by then."""
        if not self._running:
            return True
        _, unfinished = await asyncio.wait(self._running, timeout=within_seconds)
        return not unfinished

    def cancel(self) -> None:
        """Cancel what is not done with."""
        for task in self._running:
            task.cancel()

    async def _work_on(self, delivery: Delivery, is_ours: IsOurs) -> None:
        slot = await self._slots.take(is_suspect=delivery.delivery_count >= SUSPECT_RETURNS)
        try:
            await self._handle(delivery, is_ours, slot)
        finally:
            slot.give_back()
