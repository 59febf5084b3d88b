"""The inbox on a real SQLite file: if two consumers claim a row, one gets it, and a recorded 250 is kept."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, delete, inspect, select, update

from mailpact.database import clock
from mailpact.database.engine import open_database
from mailpact.database.migrate import migrate
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.decide import Row, Send, State
from mailpact_consumer.errors import OlderConsumersAlive
from mailpact_consumer.events import _take_old
from mailpact_consumer.housekeeping import Housekeeping
from mailpact_consumer.inbox import (
    MIGRATIONS,
    Claim,
    ClaimRequest,
    Inbox,
    Reported,
    Seen,
    Sent,
    Subject,
    Transition,
    Write,
)
from mailpact_consumer.inbox_sql import Key
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.schema import HEAD, VERSION_TABLE, inbox, metadata, owners

KEY = Key("5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11", "a" * 64)
NEW = Send(None, is_uncertain=False)
BODY = "b" * 64
SQLITE_NOW = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a consumer's tables. Each test copies the file, because migrations take longer than a test."""
    path = tmp_path_factory.mktemp("prepared") / "inbox.db"

    async def make() -> None:
        async with open_database(DatabaseUrl(f"sqlite:///{path}")) as opened:
            await Inbox(opened, "nobody").prepare()

    asyncio.run(make())
    return path


@pytest.fixture
async def database(prepared: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a consumer's database with its tables."""
    async with open_database(DatabaseUrl(f"sqlite:///{shutil.copy(prepared, tmp_path)}")) as opened:
        yield opened


SUBJECT = Subject(KEY, BODY)


async def claim(
    database: Database, owner: str, send: Send, token: str, subject: Subject = SUBJECT
) -> Claim | None:
    return await Inbox(database, owner).claim(ClaimRequest(subject, send, token))


async def end(database: Database, seen: Seen | None, token: str, state: State = State.FAILED) -> bool:
    transition = Transition(SUBJECT, seen, state, token, attempts=1, smtp_code=550, last_reply="no")
    return bool(await Inbox(database, "one").move(transition))


async def defer(
    database: Database, seen: Seen | None, token: str, *, wait: float = 60.0, event: str | None = None
) -> bool:
    transition = Transition(SUBJECT, seen, State.DEFERRED, token, attempts=1, wait_seconds=wait, event=event)
    return bool(await Inbox(database, "one").move(transition))


async def mark_sent(database: Database, owner: str, event: str = "sent\n") -> int:
    return await Inbox(database, owner).record_sent(Sent(SUBJECT, "t1", 1, 250, "ok", event))


async def the_row(database: Database) -> Row:
    (row,) = await Inbox(database, "nobody").rows(KEY.message_id)
    return row


async def column(database: Database, name: str) -> object:
    return await database.transact(lambda connection: connection.execute(select(inbox.c[name])).scalar_one())


async def column_names(database: Database) -> set[str]:
    return await database.transact(lambda c: {each["name"] for each in inspect(c).get_columns("inbox")})


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

    await mark_sent(database, "one")
    was_failed = await end(database, Seen(State.SENDING, "t2"), "t3")

    assert (was_failed, (await the_row(database)).state) == (False, State.SENT)
    assert await claim(database, "two", Send(await the_row(database), is_uncertain=True), "t4") is None


async def test_sent_is_recorded_even_without_a_row(database: Database) -> None:
    await mark_sent(database, "one")

    assert (await the_row(database)).state is State.SENT


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED])
async def test_end_is_recorded_with_and_without_a_row(database: Database, state: State) -> None:
    first = await end(database, None, "t1", state)
    again = await end(database, None, "t2", state)

    assert (first, again, await column(database, "state")) == (True, False, state)
    assert await column(database, "ended_at") is not None


async def test_deferred_row_says_how_long_is_left_and_is_claimed_from_there(database: Database) -> None:
    deferred = [await defer(database, None, "t1"), await defer(database, None, "t2")]
    row = await the_row(database)
    claimed = await claim(database, "two", Send(row, is_uncertain=False), "t3")

    assert deferred == [True, False]
    assert (row.state, 59 < row.rest_seconds <= 60) == (State.DEFERRED, True)
    assert claimed is not None
    assert (claimed.attempts, await column(database, "next_try_at")) == (2, None)


async def test_transition_of_a_row_that_others_changed_is_not_made(database: Database) -> None:
    await claim(database, "one", NEW, "t1")

    assert not await defer(database, Seen(State.SENDING, "other"), "t2")
    assert not await defer(database, Seen(State.DEFERRED, "t1"), "t2")
    assert await defer(database, Seen(State.SENDING, "t1"), "t2")


async def test_replay_begins_the_time_for_trying_anew_and_keeps_the_date(database: Database) -> None:
    await end(database, None, "t1")
    for name in ("first_seen", "tried_since"):
        older = update(inbox).values({name: inbox.c[name] - 5 * 86_400 * clock.SECOND})
        await database.transact(lambda connection, older=older: connection.execute(older))
    before = await column(database, "first_seen")

    send = Send(await the_row(database), is_uncertain=False, reopens=True)
    claimed = await claim(database, "two", send, "t2")

    assert claimed is not None
    assert (claimed.tried_seconds < 60, claimed.first_seen) == (True, before)
    assert await column(database, "ended_at") is None


async def test_claim_of_an_id_that_another_body_used_leaves_no_row_behind(database: Database) -> None:
    other = Subject(Key(KEY.message_id, "e" * 64), "f" * 64)
    await claim(database, "one", NEW, "t1")

    taken = await claim(database, "two", NEW, "t2", other)

    assert taken is None
    assert (await the_row(database)).token == "t1"


@pytest.mark.parametrize(("connections", "expected"), [(20, [10, 10, 2]), (10, [22]), (1, [22])])
async def test_a_group_has_claims_of_half_of_many_connections(
    database: Database, monkeypatch: pytest.MonkeyPatch, connections: int, expected: list[int]
) -> None:
    groups: list[int] = []
    write = Inbox._write

    def counted(consumer: Inbox, connection: Connection, writes: Sequence[Write]) -> Sequence[Any]:
        groups.append(len(writes))
        return write(consumer, connection, writes)

    monkeypatch.setattr(Inbox, "_write", counted)
    consumer = Inbox(database, "one", connections=connections)
    subjects = [Subject(Key(KEY.message_id, character * 64), BODY) for character in ascii_lowercase[:22]]

    claims = await asyncio.gather(
        *(consumer.claim(ClaimRequest(one, NEW, one.key.recipient_sha256[:2])) for one in subjects)
    )

    tokens = [claim.token for claim in claims if claim is not None]
    assert (tokens, groups) == ([2 * character for character in ascii_lowercase[:22]], expected)


async def test_status_events_add_up_until_they_are_confirmed(database: Database) -> None:
    await defer(database, None, "t1", wait=0.0, event="first\n")
    await claim(database, "two", Send(await the_row(database), is_uncertain=False), "t2")
    sent_at = await mark_sent(database, "two", "second\n")
    both = (await column(database, "due"), await column(database, "events"))
    consumer = Inbox(database, "two")
    for since in (sent_at, await column(database, "due_since")):
        consumer.reported(Reported(KEY, 2, since))  # type: ignore[arg-type]  # a number from the database
        await consumer.finish()

    assert both == ("first\nsecond\n", 2)
    assert (await column(database, "due"), await column(database, "due_since")) == (None, None)


async def test_event_that_came_later_is_not_taken_for_confirmed(database: Database) -> None:
    at = await Inbox(database, "one").move(
        Transition(SUBJECT, None, State.DEFERRED, "t1", attempts=1, wait_seconds=0.0, event="first\n")
    )
    assert at is not None
    await mark_sent(database, "two", "second\n")
    consumer = Inbox(database, "one")

    consumer.reported(Reported(KEY, 1, at))
    await consumer.finish()

    assert await column(database, "due") == "first\nsecond\n"


async def test_sweep_takes_what_is_old_and_nobody_else_takes_it_then(database: Database) -> None:
    await mark_sent(database, "one", "event\n")
    fresh = await database.transact(_take_old)
    older = update(inbox).values(due_since=inbox.c.due_since - 16 * clock.SECOND)
    await database.transact(lambda connection: connection.execute(older))

    taken = await database.transact(_take_old)
    again = await database.transact(_take_old)

    assert [(reported.key, bodies) for reported, bodies in taken] == [(KEY, ["event"])]
    assert (list(fresh), list(again)) == ([], [])


@pytest.mark.parametrize(
    ("days", "is_due", "is_terminal", "is_kept"),
    [(31, False, True, False), (29, False, True, True), (31, True, True, True), (31, False, False, True)],
)
async def test_only_rows_that_are_long_over_with_nothing_due_are_forgotten(
    database: Database, days: int, is_due: bool, is_terminal: bool, is_kept: bool
) -> None:
    if is_terminal:
        await end(database, None, "t1")
    else:
        await defer(database, None, "t1")
    ended = update(inbox).values(
        first_seen=inbox.c.first_seen - days * 86_400 * clock.SECOND,
        ended_at=inbox.c.ended_at - days * 86_400 * clock.SECOND,
        due="event\n" if is_due else None,
        due_since=1 if is_due else None,
    )
    await database.transact(lambda connection: connection.execute(ended))

    await Housekeeping(database, inbox_days=30).purge()

    rows = await Inbox(database, "one").rows(KEY.message_id)
    assert len(rows) == is_kept


async def test_owner_far_ahead_of_the_clock_is_not_alive(database: Database) -> None:
    await claim(database, "one", NEW, "t1")
    await Liveness(database, "one", monotonic=lambda: 0.0).announce()
    ahead = update(owners).values(renewed_at=clock.now() + 3600 * clock.SECOND)
    await database.transact(lambda connection: connection.execute(ahead))

    assert not (await the_row(database)).owner_is_alive


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


async def test_row_keeps_the_digest_of_the_template_of_its_last_claim(database: Database) -> None:
    before, after = (Subject(KEY, BODY, template_digest=digest * 64) for digest in "de")
    await claim(database, "one", NEW, "t1", before)
    first = await the_row(database)
    await claim(database, "two", Send(first, is_uncertain=True), "t2", after)
    second = await the_row(database)

    assert (first.template_digest, first.uncertain) == ("d" * 64, 0)
    assert (second.template_digest, second.uncertain) == ("e" * 64, 1)


async def test_consumer_of_revision_2_0_goes_on_beside_one_of_this_release(tmp_path: Path) -> None:
    async with open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'old.db'}")) as old:
        await migrate(old, MIGRATIONS, head="2.0", version_table=VERSION_TABLE)
        await Liveness(old, "older", monotonic=lambda: 0.0).announce()

        await Inbox(old, "newer").prepare()
        await migrate(old, MIGRATIONS, head="2.0", version_table=VERSION_TABLE)

        assert await column_names(old) >= {"template_digest", "due"}


async def test_migration_refuses_while_consumers_of_the_first_release_live_and_names_them(
    tmp_path: Path,
) -> None:
    async with open_database(DatabaseUrl(f"sqlite:///{tmp_path / 'old.db'}")) as old:
        await migrate(old, MIGRATIONS, head="0001", version_table=VERSION_TABLE)
        renewed = f"INSERT INTO inbox_owners VALUES ('still-there', {SQLITE_NOW})"
        await old.transact(lambda connection: connection.exec_driver_sql(renewed))
        with pytest.raises(OlderConsumersAlive, match="still-there"):
            await Inbox(old, "me").prepare()
        await old.transact(lambda c: c.exec_driver_sql("UPDATE inbox_owners SET renewed_at = 5"))
        await Inbox(old, "me").prepare()
        revision = await old.transact(lambda c: c.exec_driver_sql(f"SELECT * FROM {VERSION_TABLE}").scalar())

    assert revision == HEAD


async def test_newer_revision_that_only_adds_is_used_as_it_is(database: Database) -> None:
    newer = f"UPDATE {VERSION_TABLE} SET version_num = '2.7'"
    await database.transact(lambda connection: connection.exec_driver_sql(newer))

    await Inbox(database, "me").prepare()
