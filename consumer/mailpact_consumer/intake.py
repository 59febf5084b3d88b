"""Takes deliveries in: our tasks work on them, and two of the same message never run side by side."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from mailpact.amqp.subscriber import Delivery
from mailpact_consumer.slots import Slot, Slots

SUSPECT_RETURNS = 3

IsOurs = Callable[[], bool]
"""Says whether a delivery is still ours to settle, or the broker's again."""

Handle = Callable[[Delivery, IsOurs, Slot], Awaitable[None]]
"""Settles a delivery, or leaves it unsettled when stopping or when it is not ours any more."""

_Work = tuple[Delivery, int]
"""A delivery, and the session in which it came."""


class Intake:
    """The deliveries that this process works on. Its tasks outlive a lost connection: a mail is finished."""

    def __init__(self, tasks: asyncio.TaskGroup, slots: Slots, handle: Handle) -> None:
        self._tasks = tasks
        self._slots = slots
        self._handle = handle
        self._running: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[_Work]] = []
        self._is_finishing = False
        self._session = 0

    def begin_session(self) -> None:
        """Take note that consuming begins anew: all that is unsettled was put back and will be delivered again.

        Work on it is given up as soon as nothing is on its way to the mail server. Otherwise every new connection
        would add as much again to what is held, and a message without an id would certainly go out twice.
        """
        self._session += 1

    def receive(self, delivery: Delivery) -> None:
        """Start to work on a delivery; returns at once. A task that is done with another takes it over."""
        work = delivery, self._session
        while self._idle:
            next_work = self._idle.pop()
            if not next_work.done():  # it is when the task was cancelled
                next_work.set_result(work)
                return
        task = self._tasks.create_task(self._serve(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self, *, within_seconds: float) -> bool:
        """Wait until everything taken in is done with; False when something is not by then."""
        self._is_finishing = True
        for next_work in self._idle:
            next_work.cancel()
        if not self._running:
            return True
        _, unfinished = await asyncio.wait(self._running, timeout=within_seconds)
        return not unfinished

    def cancel(self) -> None:
        """Cancel what is not done with."""
        for task in self._running:
            task.cancel()

    async def _serve(self, work: "_Work") -> None:
        """Work on one delivery after another: a task for each would take more CPU time than its way through here."""
        loop = asyncio.get_running_loop()
        while True:
            delivery, session = work
            await self._work_on(delivery, partial(self._is_session, session))
            if self._is_finishing:
                return
            next_work: asyncio.Future[_Work] = loop.create_future()
            self._idle.append(next_work)
            work = await next_work

    def _is_session(self, session: int) -> bool:
        return self._session == session

    async def _work_on(self, delivery: Delivery, is_ours: IsOurs) -> None:
        slot = await self._slots.take(is_suspect=delivery.delivery_count >= SUSPECT_RETURNS)
        try:
            await self._handle(delivery, is_ours, slot)
        finally:
            slot.give_back()
