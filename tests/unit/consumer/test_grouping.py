"""Work that waits at the same time is one group, and an error of one piece does not affect the others."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from mailpact.database.engine import open_database
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.grouping import LARGEST, Grouping


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a database with one empty table of numbers."""
    database = open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'numbers.db'}"))
    await database.transact(lambda c: c.execute(text("CREATE TABLE numbers (n INTEGER CHECK (n < 1000))")))
    yield database
    await database.close()


class Work:
    """Records numbers and returns their doubles; the first group waits until the test releases it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may_go_on = threading.Event()

    def __call__(self, connection: Connection, numbers: Sequence[int]) -> Sequence[int]:
        self.sizes.append(len(numbers))
        assert self.may_go_on.wait(20)
        for number in numbers:
            connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})
        return [2 * number for number in numbers]


def written(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT n FROM numbers ORDER BY n")).scalars())


def in_order_of_writing(connection: Connection) -> list[int]:
    return list(connection.execute(text("SELECT n FROM numbers ORDER BY rowid")).scalars())


Asking = Callable[[Grouping[int, int], Sequence[int]], "asyncio.Future[list[int | BaseException]]"]


@pytest.fixture
def ask() -> Asking:
    """Ask for several numbers at once."""

    def asking(
        grouping: Grouping[int, int], numbers: Sequence[int]
    ) -> "asyncio.Future[list[int | BaseException]]":
        return asyncio.gather(*(grouping.ask(number) for number in numbers), return_exceptions=True)

    return asking


async def test_one_alone_waits_for_no_company(database: Database) -> None:
    work = Work()
    work.may_go_on.set()

    assert await Grouping(database, work).ask(4) == 8
    assert work.sizes == [1]


async def test_what_comes_while_one_group_is_at_work_is_the_next(database: Database, ask: Asking) -> None:
    work = Work()
    grouping = Grouping(database, work)
    first = asyncio.ensure_future(grouping.ask(0))
    while not work.sizes:
        await asyncio.sleep(0)

    rest = ask(grouping, range(1, LARGEST + 11))
    await asyncio.sleep(0)
    work.may_go_on.set()

    assert [await first, *await rest] == [2 * number for number in range(LARGEST + 11)]
    assert work.sizes == [1, LARGEST, 10]


class Scarce(int):
    """A number of which a group has only a few."""


async def test_requests_of_a_limited_kind_take_turns_and_others_pass_them(
    database: Database, ask: Asking
) -> None:
    work = Work()
    grouping = Grouping(database, work, limited=Scarce, limit=2)
    first = asyncio.ensure_future(grouping.ask(0))
    while not work.sizes:
        await asyncio.sleep(0)

    rest = ask(grouping, [*map(Scarce, range(1, 6)), 6, 7])
    await asyncio.sleep(0)
    work.may_go_on.set()

    assert [await first, *await rest] == [2 * number for number in range(8)]
    assert work.sizes == [1, 4, 2, 1]
    assert await database.transact(in_order_of_writing) == [0, 1, 2, 6, 7, 3, 4, 5]


async def test_one_that_cannot_be_done_spoils_it_for_nobody(database: Database, ask: Asking) -> None:
    work = Work()
    work.may_go_on.set()

    *good, bad = await ask(Grouping(database, work), [*range(9), 1000])

    assert good == [2 * number for number in range(9)]
    assert isinstance(bad, IntegrityError)
    assert await database.transact(written) == list(range(9))


async def test_a_bug_in_the_work_is_told_to_all_who_asked(database: Database, ask: Asking) -> None:
    def work(_connection: Connection, numbers: Sequence[int]) -> Sequence[int]:
        raise LookupError(str(len(numbers)))

    answers = await ask(Grouping[int, int](database, work), range(3))

    assert [type(answer) for answer in answers] == [LookupError] * 3


async def test_who_stops_waiting_keeps_nobody_else_from_an_answer(database: Database, ask: Asking) -> None:
    work = Work()
    grouping = Grouping(database, work)
    impatient = asyncio.ensure_future(grouping.ask(1))
    others = ask(grouping, [2, 3])
    await asyncio.sleep(0)

    impatient.cancel()
    work.may_go_on.set()

    assert await others == [4, 6]
    await grouping.finish()
    assert await database.transact(written) in ([1, 2, 3], [2, 3])


async def test_finish_leaves_no_task(database: Database) -> None:
    work = Work()
    grouping = Grouping(database, work)
    asked = asyncio.ensure_future(grouping.ask(1))
    await asyncio.sleep(0)
    asked.cancel()
    work.may_go_on.set()

    await grouping.finish()

    await asyncio.gather(asked, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_nobody_waits_for_joins_the_next_group(database: Database) -> None:
    work = Work()
    work.may_go_on.set()
    grouping = Grouping(database, work)

    grouping.tell(1)
    grouping.tell(2)

    assert await grouping.ask(3) == 6
    assert work.sizes == [3]


async def test_what_nobody_waits_for_is_done_alone_in_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailpact_consumer.grouping.ALONE_SECONDS", 0.0)
    work = Work()
    work.may_go_on.set()
    grouping = Grouping(database, work)

    grouping.tell(1)
    grouping.tell(5000)  # a number that the table refuses: nobody hears of it
    async with asyncio.timeout(20):
        while await database.transact(written) != [1]:
            await asyncio.sleep(0.01)
    await grouping.finish()


async def test_finishing_does_what_nobody_waits_for(database: Database) -> None:
    work = Work()
    work.may_go_on.set()
    grouping = Grouping(database, work)

    grouping.tell(7)
    await grouping.finish()

    assert await database.transact(written) == [7]


async def test_who_stopped_waiting_takes_no_place_of_a_limited_kind(database: Database, ask: Asking) -> None:
    work = Work()
    grouping = Grouping(database, work, limited=Scarce, limit=2)
    first = asyncio.ensure_future(grouping.ask(0))
    while not work.sizes:
        await asyncio.sleep(0)

    impatient = ask(grouping, [*map(Scarce, range(1, 3))])
    others = ask(grouping, [*map(Scarce, range(3, 5))])
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    work.may_go_on.set()

    assert [await first, *await others] == [0, 6, 8]
    assert work.sizes == [1, 2]
