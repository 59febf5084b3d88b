"""The inbox on a real SQLite file: of two that want a row, one has it; and a 250 is never forgotten."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, select, update

from mailpact.database import clock
from mailpact.database.engine import open_database
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.decide import Row, Send, State
from mailpact_consumer.inbox import Claim, Inbox, Key
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.schema import VERSION_TABLE, inbox, metadata, owners

KEY = Key("5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11", "a" * 64)
NEW = Send(None, is_uncertain=False)
BODY = "b" * 64


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A consumer's database with its tables."""
    opened = open_database(DatabaseUrl.of_file(tmp_path / "inbox.db"))
    await Inbox(opened, "nobody").prepare()
    yield opened
    await opened.close()


async def claim(database: Database, owner: str, send: Send, token: str) -> Claim | None:
    return await Inbox(database, owner).claim(KEY, send, token=token, body_sha256=BODY)


async def the_row(database: Database) -> Row:
    (row,) = await Inbox(database, "nobody").rows(KEY.message_id)
    return row


async def column(database: Database, name: str) -> object:
    return await database.transact(lambda connection: connection.execute(select(inbox.c[name])).scalar_one())


async def test_of_two_that_claim_a_new_row_one_has_it(database: Database) -> None:
    claims = await asyncio.gather(claim(database, "one", NEW, "t1"), claim(database, "two", NEW, "t2"))

    assert sorted(each is None for each in claims) == [False, True]


async def test_of_two_that_take_a_dead_ones_row_over_one_has_it(database: Database) -> None:
    await claim(database, "dead", NEW, "t0")
    seen = Send(await the_row(database), is_uncertain=True)

    claims = await asyncio.gather(claim(database, "one", seen, "t1"), claim(database, "two", seen, "t2"))

    (won,) = [each for each in claims if each is not None]
    assert (won.attempts, won.uncertain) == (2, 1)


async def test_sent_may_be_written_by_anybody_and_is_never_overwritten(database: Database) -> None:
    await claim(database, "one", NEW, "t1")
    seen = await the_row(database)
    await claim(database, "two", Send(seen, is_uncertain=True), "t2")

    await Inbox(database, "one").finish_sent(KEY, 250)
    was_failed = await Inbox(database, "two").finish_failed(
        KEY, 550, seen_token="t2", token="t3", body_sha256=BODY
    )

    assert (was_failed, (await the_row(database)).state) == (False, State.SENT)
    assert await claim(database, "two", Send(await the_row(database), is_uncertain=True), "t4") is None


async def test_refused_recipient_is_recorded_with_and_without_a_row(database: Database) -> None:
    consumer = Inbox(database, "one")

    first = await consumer.finish_failed(KEY, 550, seen_token=None, token="t1", body_sha256=BODY)
    again = await consumer.finish_failed(KEY, 550, seen_token=None, token="t2", body_sha256=BODY)

    assert (first, again, await column(database, "state")) == (True, False, State.FAILED)


async def test_date_of_the_first_try_is_kept_by_all_later_ones(database: Database) -> None:
    first = await claim(database, "one", NEW, "t1")
    second = await claim(database, "two", Send(await the_row(database), is_uncertain=True), "t2")

    assert first is not None
    assert second is not None
    assert first.first_seen == second.first_seen


async def test_owner_is_alive_for_ten_seconds_after_its_last_sign(database: Database) -> None:
    await claim(database, "one", NEW, "t1")
    alive = [(await the_row(database)).owner_is_alive]
    await Liveness(database, "one", monotonic=lambda: 0.0).announce()
    for age_seconds in (9, 11):
        aged = update(owners).values(renewed_at=clock.now() - age_seconds * clock.SECOND)
        await database.transact(lambda connection, aged=aged: connection.execute(aged))
        alive.append((await the_row(database)).owner_is_alive)

    assert alive == [False, True, False]


async def test_process_stops_trusting_itself_8_seconds_after_it_sent_its_last_sign(
    database: Database,
) -> None:
    now = [100.0]
    liveness = Liveness(database, "one", monotonic=lambda: now[0])
    trusted = [liveness.trusted_since()]
    await liveness.announce()
    for now[0] in (107.9, 108.1):
        trusted.append(liveness.trusted_since())
    await liveness.renew()
    trusted.append(liveness.trusted_since())

    assert trusted == [None, 100.0, None, 108.1]


async def test_trust_that_was_never_broken_began_at_the_first_sign(database: Database) -> None:
    now = [100.0]
    liveness = Liveness(database, "one", monotonic=lambda: now[0])
    await liveness.announce()
    for now[0] in (102.0, 104.0, 109.0):
        await liveness.renew()

    assert liveness.trusted_since() == 100.0


async def test_owner_that_was_forgotten_while_it_slept_is_alive_again_after_its_next_sign(
    database: Database,
) -> None:
    await claim(database, "one", NEW, "t1")
    liveness = Liveness(database, "one", monotonic=lambda: 0.0)
    await liveness.announce()
    await database.transact(lambda connection: connection.execute(delete(owners)))

    await liveness.renew()

    assert (await the_row(database)).owner_is_alive


async def test_migrated_tables_are_those_of_the_schema(database: Database) -> None:
    differences = await database.transact(
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}), metadata
        )
    )

    assert differences == []
