import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, event, func, inspect, select, text

from mailpact.database import transactions
from mailpact.database.migrate import SchemaUnknown, migrate
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_consumer import schema as consumer
from mailpact_consumer.inbox import Inbox
from mailpact_producer.store import schema as producer

PROGRAM = """
import asyncio, sys
from mailpact.database.engine import open_database
from mailpact.settings import DatabaseUrl
from mailpact_producer.store import schema
import alembic.command  # so that all of them are ready at the same moment

async def main():
    database = open_database(DatabaseUrl(sys.argv[1]))
    await schema.prepare(database)
    await database.close()

input()
asyncio.run(main())
"""

# A first start sends some forty statements. `make test-faults` stops it at each of them, `make test` at every fifth.
CUTS_APART = int(os.environ.get("MAILPACT_TEST_CUTS_APART", "5"))
METADATA = (producer.metadata, consumer.metadata)
TABLES = {name for metadata in METADATA for name in metadata.tables} | {
    producer.VERSION_TABLE,
    consumer.VERSION_TABLE,
}


async def prepare(database: Database) -> None:
    """Create the tables of both components, as each component does."""
    await Inbox(database, "me").prepare()
    await producer.prepare(database)


async def tables(database: Database) -> set[str]:
    return set(await database.transact(lambda connection: inspect(connection).get_table_names()))


def differences(metadata: MetaData) -> Callable[[Connection], list[Any]]:
    """Return the work that compares the tables of one component with its schema and returns the differences."""

    def work(connection: Connection) -> list[Any]:
        def is_of_room(name: str | None, kind: str, _: object) -> bool:
            return kind != "table" or name in metadata.tables

        # Types are left out: a server chooses another BLOB than the one that the schema names.
        options = {"include_name": is_of_room, "compare_type": False}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    return work


async def first_rows(database: Database) -> list[int]:
    counts = [select(func.count()).select_from(table) for table in (producer.site_key, producer.pages)]
    return await database.transact(lambda c: [c.execute(count).scalar_one() for count in counts])


async def test_both_rooms_make_their_tables_in_one_database(empty: Database) -> None:
    await prepare(empty)
    await prepare(empty)

    assert await tables(empty) == TABLES
    assert [await empty.transact(differences(metadata)) for metadata in METADATA] == [[], []]
    assert await first_rows(empty) == [1, 1]


async def test_all_text_is_compared_letter_by_letter(empty: Database) -> None:
    await prepare(empty)
    query = text(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        " AND collation_name IS NOT NULL AND column_name != 'version_num'"
    )

    assert await empty.transact(lambda c: c.execute(query).scalars().all()) == ["utf8mb4_bin"]


def test_many_processes_that_start_at_once_migrate_once(mariadb_url: str) -> None:
    words = [sys.executable, "-c", PROGRAM, mariadb_url]
    started = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    complaints = [process.communicate(timeout=40)[1] for process in started]

    assert complaints == [""] * 4
    assert [process.returncode for process in started] == [0] * 4


@contextmanager
def cut_off_at(database: Database, statement: int) -> Iterator[None]:
    """Let a migration fail after this number of statements."""
    sent = 0

    def count(*_: object) -> None:
        nonlocal sent
        if sent == statement:
            raise LookupError("cut off")
        sent += 1

    event.listen(database._for_migrations, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(database._for_migrations, "before_cursor_execute", count)


@pytest.mark.timeout(300)  # up to a hundred migrations, and the disk is written for each change of a table
async def test_a_first_start_that_is_cut_off_anywhere_is_finished_by_the_next(
    empty: Database, clear: Callable[[], None]
) -> None:
    is_cut_off, statement = True, 0
    while is_cut_off:
        clear()
        try:
            with cut_off_at(empty, statement):
                await prepare(empty)
            is_cut_off = False
        except LookupError:
            statement += CUTS_APART
        await prepare(empty)

        assert (await tables(empty), await first_rows(empty)) == (TABLES, [1, 1])
        assert await empty.transact(differences(producer.metadata)) == []
    assert statement > 15


async def test_a_newer_releases_tables_are_left_alone(empty: Database) -> None:
    await prepare(empty)
    await empty.transact(lambda c: c.execute(text("UPDATE producer_version SET version_num = '0099'")))

    with pytest.raises(SchemaUnknown, match="revision '0099' in producer_version, which this release"):
        await producer.prepare(empty)


async def test_who_does_not_get_a_turn_says_so_and_may_have_one_later(
    empty: Database, opened: Any, mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "TURN_SECONDS", 0)
    holding, done = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(holding.set)
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result(20)

    async with opened(mariadb_url) as another:
        holder = asyncio.create_task(another.transact_alone(producer.VERSION_TABLE, hold))
        await holding.wait()
        with pytest.raises(DatabaseUnavailable, match=r"another process has been changing .* for 0 seconds"):
            await producer.prepare(empty)
        await Inbox(empty, "me").prepare()  # the other component's migration
        done.set()
        await holder

    monkeypatch.setattr(transactions, "TURN_SECONDS", 20)
    await producer.prepare(empty)


async def test_a_broken_migration_is_not_taken_for_an_outage(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001.py").write_text(
        "from alembic import op\nrevision = '0001'\ndown_revision = None\n"
        "def upgrade():\n    op.execute('CREATE TABLE')\n"
    )
    with pytest.raises(Exception, match="SQL syntax") as caught:
        await migrate(empty, tmp_path, head="0001", version_table="room_version")

    assert not isinstance(caught.value, DatabaseUnavailable)
