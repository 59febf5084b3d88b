"""Does many small pieces of database work as few transactions.

A commit costs as much for fifty rows as for one. So what is asked while one group is at the database waits and is the
next group: with one message at a time nobody waits for company, and the busier it gets, the larger the groups.

Whoever asks gets an answer or an error of their own. Work that fails as a group is done again as two halves, so that
one piece that cannot be done spoils it for nobody else. Work that nobody waits for joins the next group.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from mailpact.database.transactions import Database

LARGEST: Final = 200  # so that a transaction stays short, for others wait for its locks
ALONE_SECONDS: Final = 0.5  # work that nobody waits for makes a group of its own after so long

Q = TypeVar("Q")
R = TypeVar("R")

GroupWork = Callable[[Connection, Sequence[Q]], Sequence[R]]
"""Does all of it in one transaction; gives one result for each request, in their order."""

_Asked = tuple[Q, "asyncio.Future[R] | None"]
"""A request and the answer to it; None when nobody waits for the answer."""


class Grouping(Generic[Q, R]):
    """One kind of work; groups of it follow one another."""

    def __init__(self, database: Database, work: GroupWork[Q, R]) -> None:
        self._database = database
        self._work = work
        self._waiting: list[_Asked[Q, R]] = []
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, request: Q) -> R:
        """Have the work done for one request. Raises DatabaseUnavailable, and what the work raises.

        When the caller is cancelled, the work may be done nevertheless.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._start()
        return await answer

    def tell(self, request: Q) -> None:
        """Have the work done with the next group, at the latest in half a second; nobody learns whether it was done."""
        self._waiting.append((request, None))
        if self._running is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ALONE_SECONDS, self._start)

    async def finish(self) -> None:
        """Wait until nothing is at the database any more, and nothing waits for it."""
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
            await asyncio.sleep(0)  # what this round of the loop asks joins the group
            while group := self._waiting[:LARGEST]:
                del self._waiting[:LARGEST]
                await self._answer([asked for asked in group if asked[1] is None or not asked[1].done()])
        finally:
            self._running = None

    async def _answer(self, group: "Sequence[_Asked[Q, R]]") -> None:
        if not group:
            return
        try:
            requests = [request for request, _ in group]
            results = await self._database.transact(lambda connection: self._work(connection, requests))
        except SQLAlchemyError as error:
            await self._answer_apart(group, error)
        except Exception as error:  # noqa: BLE001  # a bug in the work: those who asked are told, each of them
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
