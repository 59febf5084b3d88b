"""Combines many small database operations into few transactions.

A commit costs as much for fifty rows as for one row. So requests that arrive while one group is at the database form
the next group. A single request does not wait for others, and the groups grow with the load.

Each caller gets its own result or error. If a group fails, its two halves are tried separately, so that one failing
request does not affect the others. Requests without a waiting caller join the next group.

The number of requests of one kind in a group can be limited, so that the callers take turns: while the database works
on one group, the callers of the group before go on. Without a limit all callers soon wait for the same group, and then
the database waits for all callers.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from mailpact.database.transactions import Database

LARGEST: Final = 200  # keeps transactions short, because others wait for their locks
ALONE_SECONDS: Final = 0.5  # requests without a waiting caller form their own group after this time

Q = TypeVar("Q")
R = TypeVar("R")

GroupWork = Callable[[Connection, Sequence[Q]], Sequence[R]]
"""Executes all requests in one transaction, and returns one result for each request, in their order."""

_Asked = tuple[Q, "asyncio.Future[R] | None"]
"""A request and its future result; None if no caller waits for the result."""


class Grouping(Generic[Q, R]):
    """The requests for one work. One group is executed after the other.

    A group has at most `limit` requests of the class `limited`, and at most 200 requests in all.
    """

    def __init__(
        self,
        database: Database,
        work: GroupWork[Q, R],
        *,
        limited: type | tuple[type, ...] = (),
        limit: int = LARGEST,
    ) -> None:
        self._database = database
        self._work = work
        self._limited = limited
        self._limit = limit
        self._waiting: list[_Asked[Q, R]] = []
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, request: Q) -> R:
        """Execute one request with the next group. Raises DatabaseUnavailable, and the errors of the work.

        If the caller is cancelled, the request may still be executed.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._start()
        return await answer

    def tell(self, request: Q) -> None:
        """Execute a request with the next group, after at most half a second. The caller does not learn the result."""
        self._waiting.append((request, None))
        if self._running is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ALONE_SECONDS, self._start)

    async def finish(self) -> None:
        """Wait until no request waits and no group is being executed."""
        if self._waiting:
            self._start()
        if self._running is not None:
            await self._running

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # so that all requests of this round of the event loop join the group
            while group := self._next_group():
                await self._answer(group)
        finally:
            self._running = None

    def _next_group(self) -> "list[_Asked[Q, R]]":
        """Take the requests of the next group. Cancelled ones are dropped, the others stay in their order."""
        group: list[_Asked[Q, R]] = []
        left: list[_Asked[Q, R]] = []
        count = 0
        for asked in self._waiting:
            if asked[1] is not None and asked[1].done():
                continue
            is_limited = isinstance(asked[0], self._limited)
            if len(group) == LARGEST or (is_limited and count == self._limit):
                left.append(asked)
            else:
                group.append(asked)
                count += is_limited
        self._waiting = left
        return group

    async def _answer(self, group: "Sequence[_Asked[Q, R]]") -> None:
        try:
            requests = [request for request, _ in group]
            results = await self._database.transact(lambda connection: self._work(connection, requests))
        except SQLAlchemyError as error:
            await self._answer_apart(group, error)
        except Exception as error:  # noqa: BLE001  # a bug in the work: every caller gets the error
            _fail(group, error)
        else:
            for (_, answer), result in zip(group, results, strict=True):
                if answer is not None and not answer.done():
                    answer.set_result(result)

    async def _answer_apart(self, group: "Sequence[_Asked[Q, R]]", error: SQLAlchemyError) -> None:
        if len(group) == 1:
            _fail(group, error)
            return
        for half in (group[: len(group) // 2], group[len(group) // 2 :]):
            await self._answer(half)


def _fail(group: "Sequence[_Asked[Q, R]]", error: Exception) -> None:
    for _, answer in group:
        if answer is not None and not answer.done():
            answer.set_exception(error)
