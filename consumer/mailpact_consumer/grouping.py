"""Does many small pieces of database work as few transactions.

A commit costs as much for fifty rows as for one. So what is asked while one group is at the database waits and is the
next group: with one message at a time nobody waits for company, and the busier it gets, the larger the groups.

Whoever asks gets an answer or an error of their own. Work that fails as a group is done again as two halves, so that
one piece that cannot be done spoils it for nobody else. Work that nobody waits for joins the next group.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
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


class Grouping(Generic[Q, R]):
    """One kind of work; groups of it follow one another."""

    def __init__(self, database: Database, work: GroupWork[Q, R]) -> None:
        self._database = database
        self._work = work
        self._waiting: dict[asyncio.Future[R], Q] = {}
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, request: Q) -> R:
        """Have the work done for one request. Raises DatabaseUnavailable, and what the work raises.

        When the caller is cancelled, the work may be done nevertheless.
        """
        answer = self._add(request)
        self._start()
        return await answer

    def tell(self, request: Q) -> None:
        """Have the work done with the next group, at the latest in half a second; nobody learns whether it was done."""
        self._add(request).add_done_callback(_look_at)
        if self._running is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ALONE_SECONDS, self._start)

    async def finish(self) -> None:
        """Wait until nothing is at the database any more, and nothing waits for it."""
        if self._waiting:
            self._start()
        if self._running is not None:
            await self._running

    def _add(self, request: Q) -> asyncio.Future[R]:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = request
        return answer

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # what this round of the loop asks joins the group
            while group := dict(islice(self._waiting.items(), LARGEST)):
                for answer in group:
                    del self._waiting[answer]
                await self._answer({answer: asked for answer, asked in group.items() if not answer.done()})
        finally:
            self._running = None

    async def _answer(self, group: dict[asyncio.Future[R], Q]) -> None:
        if not group:
            return
        try:
            requests = list(group.values())
            results = await self._database.transact(lambda connection: self._work(connection, requests))
        except SQLAlchemyError as error:
            await self._answer_apart(group, error)
        except Exception as error:  # noqa: BLE001  # a bug in the work: those who asked are told, each of them
            _fail(group, error)
        else:
            for answer, result in zip(group, results, strict=True):
                if not answer.done():
                    answer.set_result(result)

    async def _answer_apart(self, group: dict[asyncio.Future[R], Q], error: SQLAlchemyError) -> None:
        if len(group) == 1:
            _fail(group, error)
            return
        pieces = list(group.items())
        for half in (pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]):
            await self._answer(dict(half))


def _fail(group: dict[asyncio.Future[R], Q], error: Exception) -> None:
    for answer in group:
        if not answer.done():
            answer.set_exception(error)


def _look_at(answer: asyncio.Future[R]) -> None:
    # Nobody waits for it; asyncio need not complain that nobody asked for its error.
    if not answer.cancelled():
        answer.exception()
