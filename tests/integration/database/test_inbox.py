"""Several consumers share one inbox: at any time at most one consumer holds a row."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, event, select, text, update

from mailpact.database import clock
from mailpact.database.engine import open_database
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.settings import DatabaseUrl
from mailpact_consumer.decide import Row, Send, State
from mailpact_consumer.inbox import Claim, ClaimRequest, Inbox, Seen, Sent, Subject, Transition
from mailpact_consumer.inbox_group import literal
from mailpact_consumer.inbox_sql import Key
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.schema import inbox, owners

BODY = "b" * 64
NEW = Send(None, is_uncertain=False)

PROGRAM = """
import asyncio, sys
from mailpact.database.engine import open_database
from mailpact.settings import DatabaseUrl
from mailpact_consumer.decide import Send
from mailpact_consumer.inbox import ClaimRequest, Inbox, Subject
from mailpact_consumer.inbox_sql import Key

async def main():
    url, owner = sys.argv[1:]
    database = open_database(DatabaseUrl(url), joins_statements=True)
    consumer = Inbox(database, owner)
    keys = [Key(f"message {number}", "r" * 64) for number in range(100)]
    await consumer.rows("none")
    input()
    claims = await asyncio.gather(
        *(
            consumer.claim(
                ClaimRequest(Subject(key, "b" * 64), Send(None, is_uncertain=False), f"{owner} {key.message_id}")
            )
            for key in keys
        )
    )
    await database.close()
    print(*(number for number, claim in enumerate(claims) if claim))

asyncio.run(main())
"""


@pytest.fixture
def opened() -> Callable[[str], Database]:
    """Return a function that opens a database as another consumer would: the statements of a group are one packet."""
    return lambda url: open_database(DatabaseUrl(url), joins_statements=True)


@pytest.fixture
async def shared(empty: Database) -> Database:
    """Return the test's database, with the consumer's tables."""
    await Inbox(empty, "nobody").prepare()
    return empty


def new_key() -> Key:
    return Key(str(uuid4()), "r" * 64)


async def claim(database: Database, key: Key, owner: str, send: Send) -> Claim | None:
    request = ClaimRequest(Subject(key, BODY), send, token_of(owner, key))
    return await Inbox(database, owner).claim(request)


def token_of(owner: str, key: Key) -> str:
    return f"{owner}/{key.message_id}"[:36]


async def mark_sent(inbox: Inbox, key: Key) -> None:
    await inbox.record_sent(Sent(Subject(key, BODY), "t", 1, 250, "ok", "event\n"))


async def the_row(database: Database, key: Key) -> Row:
    (row,) = await Inbox(database, "nobody").rows(key.message_id)
    return row


async def test_of_many_that_claim_a_new_row_one_has_it(shared: Database) -> None:
    for _ in range(20):
        key = new_key()

        claims = await asyncio.gather(*(claim(shared, key, f"{number}", NEW) for number in range(5)))

        winners = [f"{number}" for number, won in enumerate(claims) if won]
        row = await the_row(shared, key)
        assert (winners, row.token) == ([row.owner], token_of(row.owner, key))


async def test_of_many_that_take_over_a_dead_ones_row_one_has_it_and_it_is_counted_once(
    shared: Database,
) -> None:
    for _ in range(20):
        key = new_key()
        await claim(shared, key, "dead", NEW)
        seen = Send(await the_row(shared, key), is_uncertain=True)

        claims = await asyncio.gather(*(claim(shared, key, f"{number}", seen) for number in range(5)))

        (won,) = [taken for taken in claims if taken]
        assert (won.attempts, won.uncertain) == (2, 1)
        assert claims[int((await the_row(shared, key)).owner)] is won


def test_processes_that_claim_the_same_messages_share_them(shared: Database, mariadb_url: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, mariadb_url, f"process {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=40) for process in started]

    assert [complaint for _, complaint in outputs] == ["", "", ""]
    assert sorted(int(word) for won, _ in outputs for word in won.split()) == list(range(100))


async def test_sent_is_never_overwritten_and_absorbs_what_others_do_at_once(shared: Database) -> None:
    for _ in range(20):
        key = new_key()
        await claim(shared, key, "one", NEW)
        seen = await the_row(shared, key)

        async def fail(key: Key = key, seen: Row = seen) -> bool:
            return bool(
                await Inbox(shared, "two").move(
                    Transition(
                        Subject(key, BODY), Seen(seen.state, seen.token), State.FAILED, "t", attempts=1
                    )
                )
            )

        await asyncio.gather(
            mark_sent(Inbox(shared, "one"), key),
            fail(),
            claim(shared, key, "three", Send(seen, is_uncertain=True)),
        )

        assert (await the_row(shared, key)).state is State.SENT
        assert await fail() is False
        assert await claim(shared, key, "four", Send(seen, is_uncertain=True)) is None


HOSTILE = (
    "it's",
    "\\",
    "\\'",
    "'; DROP TABLE inbox; -- ",
    "' OR '1'='1",
    "%s %(x)s %%",
    "? @mailpact_now",
    "\x00\x1a\b\t\r\n",
    '"`#/*',
    "größer 郵便 \N{OPEN MAILBOX WITH RAISED FLAG}",
    "\xbf' OR 1=1 -- ",
)


async def test_texts_lie_in_the_row_as_they_are(shared: Database) -> None:
    consumer = Inbox(shared, "one")
    keys = {text: new_key() for text in HOSTILE}

    for text_, key in keys.items():
        await consumer.record_sent(Sent(Subject(key, BODY, text_), "t", 1, 250, text_, f"{text_}\n"))

    columns = inbox.c.message_id, inbox.c.publisher_id, inbox.c.last_reply, inbox.c.due
    found = await shared.transact(lambda connection: connection.execute(select(*columns)).all())
    assert {tuple(row) for row in found} == {
        (key.message_id, text_, text_, f"{text_}\n") for text_, key in keys.items()
    }


@pytest.mark.parametrize("value", [1.5, b"bytes", object()])
def test_value_without_a_literal_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        literal(value)


async def test_claims_of_many_messages_at_once_are_never_in_the_way(shared: Database) -> None:
    undone: list[Any] = []
    event.listen(shared._engine, "rollback", undone.append)
    keys = [new_key() for _ in range(200)]

    async def send(key: Key) -> None:
        assert await claim(shared, key, "me", NEW)
        await mark_sent(Inbox(shared, "me"), key)

    await asyncio.gather(*(send(key) for key in keys))

    states = await shared.transact(lambda c: c.execute(select(inbox.c.state)).scalars().all())
    assert (states, undone) == ([State.SENT] * 200, [])


async def test_claims_and_ends_read_only_the_rows_that_they_are_about(shared: Database) -> None:
    """For an UPDATE that names one row in a list of whole keys, MariaDB reads and locks the whole table."""
    keys = [new_key() for _ in range(500)]
    await asyncio.gather(*(claim(shared, key, "me", NEW) for key in keys))
    reads: list[int] = []

    event.listen(shared._engine, "begin", lambda connection: connection.exec_driver_sql("FLUSH STATUS"))

    @event.listens_for(shared._engine, "commit")
    def count(connection: Connection) -> None:
        status = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
        reads.append(sum(int(row[1]) for row in status))

    for key in (new_key(), keys[7], keys[8]):
        await claim(shared, key, "you", NEW)
        await mark_sent(Inbox(shared, "me"), key)

    assert len(reads) == 6
    assert max(reads) < 50


async def test_claim_whose_commit_was_not_confirmed_is_found_by_its_token(
    shared: Database, wire: Any, opened: Any
) -> None:
    key = new_key()
    async with opened(wire.here) as remote:
        await Inbox(remote, "me").rows(key.message_id)
        event.listen(remote._engine, "commit", lambda _: wire.cut(arrives=True), once=True)
        with pytest.raises(Exception, match="did not confirm"):
            await claim(remote, key, "me", NEW)

    assert (await the_row(shared, key)).token == token_of("me", key)


async def test_group_is_written_again_when_the_server_has_closed_the_idle_connection(
    shared: Database, opened: Any, mariadb_url: str
) -> None:
    key = new_key()
    await claim(shared, key, "me", NEW)

    def close_others(connection: Connection) -> None:
        others = text(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for number in connection.execute(others).scalars().all():
            connection.execute(text(f"KILL {number}"))

    async with opened(mariadb_url) as other:
        await other.transact(close_others)
    await mark_sent(Inbox(shared, "me"), key)

    assert (await the_row(shared, key)).state is State.SENT


async def test_group_without_its_table_is_tried_again_later(shared: Database) -> None:
    await shared.transact(lambda connection: connection.execute(text("DROP TABLE inbox")))

    with pytest.raises(DatabaseUnavailable, match="inbox"):
        await claim(shared, new_key(), "me", NEW)


async def test_owner_is_alive_for_ten_seconds_after_its_last_sign(shared: Database) -> None:
    key = new_key()
    await claim(shared, key, "one", NEW)
    await Liveness(shared, "one", monotonic=lambda: 0.0).announce()
    alive: list[bool] = []

    for age in (9.0, 11.0):
        aged = update(owners).values(renewed_at=clock.now() - int(age * clock.SECOND))
        await shared.transact(lambda connection, aged=aged: connection.execute(aged))
        alive.append((await the_row(shared, key)).owner_is_alive)

    assert alive == [True, False]


async def test_renewing_in_the_same_moment_makes_no_second_row(shared: Database) -> None:
    liveness = Liveness(shared, "one", monotonic=lambda: 0.0)
    await liveness.announce()
    await asyncio.gather(*(liveness.renew() for _ in range(20)))

    rows: Sequence[str] = await shared.transact(lambda c: c.execute(select(owners.c.owner)).scalars().all())
    assert rows == ["one"]
