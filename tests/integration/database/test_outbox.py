"""Several relays and a site share one outbox: no process waits for another, and no row is taken twice."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, event, func, insert, select, text, update

from mailpact.amqp.messages import Message
from mailpact.database import clock
from mailpact.database.transactions import Database
from mailpact_producer.accounts import Registration
from mailpact_producer.errors import AddressKnown
from mailpact_producer.relay_plan import Published, PutBack, State
from mailpact_producer.store import outbox, schema, users
from mailpact_producer.store.outbox import Claimed

MADE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def site(empty: Database) -> Database:
    """Return the test's database, with the site's tables."""
    await schema.prepare(empty)
    return empty


def enqueue(count: int = 1) -> Callable[[Connection], None]:
    """Return the work that stores that many messages."""

    def work(connection: Connection) -> None:
        for _ in range(count):
            message = Message(body=b"{}", message_id=str(uuid4()), timestamp=MADE)
            outbox.enqueue(connection, message, contract="email/1")

    return work


def fill(count: int, state: State) -> Callable[[Connection], None]:
    """Return the work that stores that many rows at once, each due a little later than the one before."""

    def work(connection: Connection) -> None:
        row = {"contract": "email/1", "body": b"x" * 300, "made_at_seconds": 1, "state": state, "attempts": 0}
        rows = [row | {"message_id": str(uuid4()), "available_at": number} for number in range(count)]
        connection.execute(insert(schema.outbox), rows)

    return work


def claim(token: str, limit: int) -> Callable[[Connection], Sequence[Claimed]]:
    return lambda connection: outbox.claim(connection, token=token, limit=limit)


def settle(rows: Sequence[Claimed], token: str) -> Callable[[Connection], None]:
    """Return the work that settles rows; every third row is not published the first time."""

    def work(connection: Connection) -> None:
        put_back = PutBack(0.0, is_attempt=True, reason="nacked")
        steps = [(row.id, put_back if row.id % 3 == row.attempts else Published()) for row in rows]
        outbox.settle(connection, steps, token=token)

    return work


@asynccontextmanager
async def unfinished(database: Database, work: Callable[[Connection], Any]) -> AsyncIterator[Any]:
    """Do the work and keep its transaction open while the context lasts; yield the work's result."""
    done, finish = threading.Event(), threading.Event()
    result: list[Any] = []

    def held(connection: Connection) -> None:
        result.append(work(connection))
        done.set()
        assert finish.wait(20)

    running = asyncio.create_task(database.transact(held))
    await asyncio.to_thread(done.wait, 20)
    try:
        yield result[0]
    finally:
        finish.set()
        await running


@pytest.mark.parametrize("due", [6, 300])
async def test_site_inserts_without_waiting_while_a_relay_claims(due: int, site: Database) -> None:
    await site.transact(enqueue(due))
    waits = []

    async with unfinished(site, claim("one", 100)):
        for _ in range(50):
            began = time.monotonic()
            await site.transact(enqueue())
            waits.append(time.monotonic() - began)

    assert sorted(waits)[45] < 0.1  # a lock would cost each insert two seconds


@pytest.mark.parametrize("due", [6, 300, 3000])
async def test_second_relay_gets_the_next_rows_while_the_first_has_not_committed(
    due: int, site: Database
) -> None:
    await site.transact(fill(due, State.PENDING))

    async with unfinished(site, claim("one", due // 3)) as first:
        second = await site.transact(claim("two", due // 3))
        third = await site.transact(claim("three", due))

    ids = [row.id for rows in (first, second, third) for row in rows]
    assert [len(rows) for rows in (first, second, third)] == [due // 3] * 3
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("pending", "claimed", "published"),
    [(0, 0, 0), (6, 0, 0), (300, 0, 0), (300, 100, 0), (6, 100, 3000), (3000, 100, 0)],
)
async def test_due_rows_are_read_in_the_order_of_the_index_however_many_there_are(
    pending: int, claimed: int, published: int, site: Database
) -> None:
    counts = {State.PENDING: pending, State.CLAIMED: claimed, State.PUBLISHED: published}
    for state, count in counts.items():
        if count:
            await site.transact(fill(count, state))
    await site.transact(lambda connection: connection.execute(text("ANALYZE TABLE outbox")).all())
    plans: list[Any] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            with cursor.connection.cursor() as another:
                # Without this format MySQL 9 answers with a tree.
                another.execute(f"EXPLAIN FORMAT=TRADITIONAL {statement}", parameters)
                names = [column[0] for column in another.description]
                plans.extend(dict(zip(names, row, strict=True)) for row in another)

    event.listen(site._engine, "before_cursor_execute", explain)
    await site.transact(claim("one", 100))
    await site.transact(outbox.take_back_expired)

    assert [plan["key"] for plan in plans] == ["ix_outbox_due"] * 2
    assert not any("filesort" in plan["Extra"] for plan in plans)


@pytest.mark.parametrize("published", [0, 3000])
async def test_settling_waits_for_no_row_that_another_relay_holds(published: int, site: Database) -> None:
    await site.transact(fill(published + 1, State.PUBLISHED))
    await site.transact(fill(103, State.PENDING))
    mine = await site.transact(claim("mine", 100))
    theirs = await site.transact(claim("theirs", 3))
    await site.transact(lambda connection: connection.execute(text("ANALYZE TABLE outbox")).all())
    steps = [(row.id, Published()) for row in mine]

    async with unfinished(site, settle(theirs, "theirs")):
        began = time.monotonic()
        await site.transact(lambda connection: outbox.settle(connection, steps, token="mine"))
        seconds = time.monotonic() - began

    assert seconds < 1  # a lock would cost two seconds


async def test_four_relays_and_a_site_take_each_row_once_and_are_never_in_the_way(
    site: Database, opened: Any, mariadb_url: str
) -> None:
    taken: list[int] = []
    errors: list[object] = []
    is_open = True

    async def relay(name: str) -> None:
        async with opened(mariadb_url) as database:
            event.listen(database._engine, "handle_error", errors.append)
            for number in range(10_000):
                was_open, token = is_open, f"{name} {number}"
                rows = await database.transact(claim(token, 10))
                taken.extend(row.id for row in rows if row.attempts == 0)
                await database.transact(settle(rows, token))
                await database.transact(outbox.take_back_expired)
                if not rows and not was_open:
                    return

    async def register() -> None:
        nonlocal is_open
        for _ in range(200):
            await site.transact(enqueue())
        is_open = False

    await asyncio.gather(register(), *(relay(f"relay {number}") for number in range(4)))
    # Two relays can each skip a row that the last statement of the other has locked for a moment.
    await relay("the last")

    states = select(schema.outbox.c.state, func.count()).group_by(schema.outbox.c.state)
    assert await site.transact(lambda c: [tuple(row) for row in c.execute(states)]) == [("published", 200)]
    assert len(set(taken)) == len(taken) == 200
    assert errors == []


async def test_relay_whose_lease_ran_out_changes_nothing(site: Database) -> None:
    await site.transact(enqueue())
    rows = await site.transact(claim("slow", 1))
    ran_out = update(schema.outbox).values(available_at=clock.now() - 1)
    await site.transact(lambda connection: connection.execute(ran_out))

    taken_back = await site.transact(outbox.take_back_expired)
    again = await site.transact(claim("quick", 1))
    await site.transact(settle(rows, "slow"))

    assert (taken_back, [row.id for row in again]) == (1, [row.id for row in rows])
    held = select(schema.outbox.c.state, schema.outbox.c.claim)
    assert await site.transact(lambda c: tuple(c.execute(held).one())) == ("claimed", "quick")


async def test_of_many_that_register_one_address_at_once_one_does_and_one_message_is_there(
    site: Database,
) -> None:
    reader = Registration(name="Ada", email="ada@example.org", password="-" * 12)

    def register(connection: Connection) -> None:
        enqueue()(connection)
        users.add(connection, reader, password_hash="-")

    results = await asyncio.gather(*(site.transact(register) for _ in range(20)), return_exceptions=True)

    count = select(func.count()).select_from(schema.outbox)
    assert [type(result) for result in results].count(AddressKnown) == 19
    assert await site.transact(lambda connection: connection.execute(count).scalar()) == 1


async def test_a_message_of_the_largest_size_is_kept_as_it_is(site: Database) -> None:
    body = bytes(range(256)) * 256
    message = Message(body=body, message_id=str(uuid4()), timestamp=MADE)
    await site.transact(lambda connection: outbox.enqueue(connection, message, contract="email/1"))

    (row,) = await site.transact(claim("one", 1))

    assert (row.body, row.message_id) == (body, message.message_id)
