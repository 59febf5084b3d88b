import time

import pytest
from sqlalchemy import Connection, select

from mailpact.database.clock import SECOND, now
from mailpact.database.transactions import Database


async def test_the_databases_clock_is_real_time_in_microseconds(database: Database) -> None:
    before = time.time()
    read = await database.transact(lambda connection: connection.execute(select(now())).scalar_one())
    after = time.time()

    assert isinstance(read, int)
    assert before - 0.002 <= read / SECOND <= after + 0.002


@pytest.mark.heavy
async def test_the_clock_never_runs_backwards_over_a_change_of_second(database: Database) -> None:
    def readings(connection: Connection) -> list[int]:
        until, read = time.monotonic() + 1.1, []
        while time.monotonic() < until:
            read.append(connection.execute(select(now())).scalar_one())
        return read

    read = await database.transact(readings)

    assert read == sorted(read)
    assert read[-1] - read[0] >= SECOND


async def test_two_readings_in_one_statement_are_equal(database: Database) -> None:
    pair = await database.transact(lambda connection: connection.execute(select(now(), now())).one())

    assert pair[0] == pair[1]
