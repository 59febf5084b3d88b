"""Does many small pieces of database work as few transactions.

A commit costs as much for fifty rows as for one. So what is asked while one group is at the database waits and is the
next group: with one message at a time nobody waits for company, and the busier it gets, the larger the groups.

Whoever asks gets an answer or an error of their own. Work that fails as a group is done again as two halves, so that
one piece that cannot be done spoils it for nobody else.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from mailpact.database.transactions import Database

LARGEST: Final = 100  # so that a transaction stays short, for others wait for its locks

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

    async def ask(self, request: Q) -> R:
        """Have the work done for one request. Raises DatabaseUnavailable, and what the work raises.

        When the caller is cancelled, the work may be done nevertheless.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = request
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def finish(self) -> None:
        """Wait until nothing is at the database any more."""
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        try:
            while group := dict(islice(self._waiting.items(), LARGEST)):
                for answer in group:
                    del self._waiting[answer]
                await self._answer({answer: asked for answer, asked in group.items() if not answer.done()})
        finally:
            self._running = None

    async def _answer(self, group: dict[asyncio.Future[R], Q]) -> None:
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
