"""Statements that bypass SQLAlchemy and go directly to the driver: the same rows and the same errors."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, insert, text
from sqlalchemy.exc import IntegrityError

from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_producer.limits import Limit
from mailpact_producer.store import limits, schema
from mailpact_producer.store.prepared import Prepared

WRITE = Prepared(insert(schema.limits).values(name=bindparam("name"), times=bindparam("times"), used_at=0))


@pytest.fixture
async def site(empty: Database) -> Database:
    """Return the test's database, with the site's tables."""
    await schema.prepare(empty)
    return empty


def write(name: str) -> Callable[[Connection], Any]:
    return lambda connection: WRITE.write(connection, {"name": name, "times": ""})


def count(*most: int) -> Callable[[Connection], Limit | None]:
    wanted = [Limit(f"name {number}", each) for number, each in enumerate(most)]
    return lambda connection: limits.take(connection, wanted)


async def names(site: Database) -> list[str]:
    query = text("SELECT name FROM limits ORDER BY name")
    return await site.transact(lambda connection: list(connection.execute(query).scalars()))


async def test_any_number_of_limits_is_counted_in_one_transaction(site: Database) -> None:
    taken = [await site.transact(count(2, 3, 9, 9)) for _ in range(4)]

    assert [limit and limit.key for limit in taken] == [None, None, "name 0", "name 0"]
    assert await site.transact(count()) is None


async def test_request_over_a_limit_is_counted_before_that_limit_only(site: Database) -> None:
    for _ in range(3):
        await site.transact(count(9, 1, 9))
    query = text("SELECT times FROM limits ORDER BY name")
    times = await site.transact(lambda connection: connection.execute(query).scalars().all())

    assert [len(each.split()) for each in times] == [3, 1, 1]


async def test_a_broken_key_is_sqlalchemys_error_and_the_connection_stays_of_use(site: Database) -> None:
    await site.transact(write("a"))

    with pytest.raises(IntegrityError):
        await site.transact(write("a"))
    await site.transact(write("b"))
    assert await names(site) == ["a", "b"]


async def test_a_connection_that_was_killed_in_a_transaction_leaves_nothing(site: Database) -> None:
    def work(connection: Connection) -> None:
        write("a")(connection)
        with site._engine.connect() as other:
            mine = connection.execute(text("SELECT CONNECTION_ID()")).scalar()
            other.execute(text(f"KILL {mine}"))
        write("b")(connection)

    with pytest.raises(DatabaseUnavailable):
        await site.transact(work)
    assert await names(site) == []


async def test_a_connection_that_was_killed_while_idle_is_not_noticed(
    site: Database, kill_connections: Callable[[], int]
) -> None:
    await site.transact(write("a"))
    assert kill_connections()

    await site.transact(write("b"))
    assert await names(site) == ["a", "b"]


async def test_work_that_a_deadlock_has_undone_is_run_again(site: Database) -> None:
    deadlock = Prepared(text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"))
    runs = []

    def work(connection: Connection) -> None:
        runs.append(write("a")(connection))
        if len(runs) < 3:
            deadlock.write(connection, {})

    await site.transact(work)

    assert (len(runs), await names(site)) == (3, ["a"])
