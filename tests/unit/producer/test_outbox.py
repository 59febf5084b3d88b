"""The outbox on a real SQLite file: who may claim a row, and who may settle it."""

from sqlalchemy import select, update

from mailpact.amqp.messages import Message
from mailpact.contracts import catalogue
from mailpact.database import clock
from mailpact.database.transactions import Database
from mailpact_producer.events import CONTRACT, Writer, mail_body
from mailpact_producer.mails import MailTexts
from mailpact_producer.relay_plan import Dead, Published, PutBack, State, Step
from mailpact_producer.store import outbox
from mailpact_producer.store.outbox import Claimed
from mailpact_producer.store.schema import outbox as table

MAIL = MailTexts("https://cms.example", "Our site").account_deleted("ada@example.org", "Ada")
WRITER = Writer(catalogue.load(), CONTRACT)


async def enqueue(database: Database, count: int = 1) -> None:
    for number in range(count):
        message = WRITER.message(mail_body(MAIL), message_id=f"id-{number}", made_at_seconds=0)
        assert isinstance(message, Message)
        await database.transact(lambda c, message=message: outbox.enqueue(c, message, contract=CONTRACT))


async def claim(database: Database, token: str, limit: int = 100) -> list[Claimed]:
    return list(await database.transact(lambda c: outbox.claim(c, token=token, limit=limit)))


async def settle(database: Database, row: Claimed, step: Step, *, token: str) -> None:
    await database.transact(lambda c: outbox.settle(c, [(row.id, step)], token=token))


async def state_and_body(database: Database) -> tuple[str, bytes | None]:
    row = await database.transact(lambda connection: connection.execute(select(table)).one())
    return row.state, row.body


async def test_two_relays_share_the_rows_and_take_none_twice(database: Database) -> None:
    await enqueue(database, 5)

    first, second, third = [await claim(database, token, limit=2) for token in ("one", "two", "three")]

    assert [row.message_id for row in (*first, *second, *third)] == [f"id-{number}" for number in range(5)]


async def test_published_row_keeps_nothing_of_its_body(database: Database) -> None:
    await enqueue(database)
    (row,) = await claim(database, "one")

    await settle(database, row, Published(), token="one")

    assert await state_and_body(database) == (State.PUBLISHED, None)


async def test_relay_that_slept_past_its_lease_cannot_settle_what_another_has(database: Database) -> None:
    await enqueue(database)
    (row,) = await claim(database, "one")
    lease_over = update(table).values(available_at=clock.now() - 1)
    await database.transact(lambda connection: connection.execute(lease_over))
    taken_back = await database.transact(outbox.take_back_expired)
    (again,) = await claim(database, "two")

    await settle(database, row, Published(), token="one")

    assert (taken_back, again.id) == (1, row.id)
    assert (await state_and_body(database))[0] == State.CLAIMED


async def test_claim_is_not_taken_back_while_its_lease_lasts(database: Database) -> None:
    await enqueue(database)
    await claim(database, "one")

    assert await database.transact(outbox.take_back_expired) == 0


async def test_row_that_was_claimed_when_it_was_stored_is_a_claim_like_any_other(database: Database) -> None:
    message = WRITER.message(mail_body(MAIL), message_id="id-0", made_at_seconds=0, traceparent="00-1-2-01")
    assert isinstance(message, Message)
    stored = await database.transact(
        lambda connection: outbox.enqueue(connection, message, contract=CONTRACT, claim="one")
    )
    assert stored is not None
    while_it_lasts = [*await claim(database, "two"), await database.transact(outbox.take_back_expired)]
    lease_over = update(table).values(available_at=clock.now() - 1)
    await database.transact(lambda connection: connection.execute(lease_over))
    taken_back = await database.transact(outbox.take_back_expired)

    (found,) = await claim(database, "two")

    assert (while_it_lasts, taken_back, found) == ([0], 1, stored)


async def test_row_that_was_put_back_is_due_after_its_wait_and_counts_its_tries(database: Database) -> None:
    await enqueue(database, 2)
    first, second = await claim(database, "one")

    await settle(database, first, PutBack(0.0, is_attempt=True, reason="nacked"), token="one")
    await settle(database, second, PutBack(60.0, is_attempt=True, reason="nacked"), token="one")

    assert [(row.id, row.attempts) for row in await claim(database, "two")] == [(first.id, 1)]


async def test_dead_row_is_kept_and_never_claimed_again(database: Database) -> None:
    await enqueue(database)
    (row,) = await claim(database, "one")

    await settle(database, row, Dead("a bug"), token="one")

    assert await claim(database, "two") == []
    assert await state_and_body(database) == (State.DEAD, row.body)


async def test_published_row_is_deleted_after_a_week_and_no_other_row(database: Database) -> None:
    await enqueue(database, 3)
    published, dead, _ = await claim(database, "one")
    await settle(database, published, Published(), token="one")
    await settle(database, dead, Dead("a bug"), token="one")
    too_early = await database.transact(lambda connection: outbox.purge(connection, limit=10))
    week = 7 * 24 * 3600 * clock.SECOND
    await database.transact(
        lambda connection: connection.execute(update(table).values(available_at=clock.now() - week - 1))
    )

    deleted = await database.transact(lambda connection: outbox.purge(connection, limit=10))

    rest = await database.transact(
        lambda connection: connection.execute(select(table.c.state)).scalars().all()
    )
    assert (too_early, deleted) == (0, 1)
    assert sorted(rest) == [State.CLAIMED, State.DEAD]
