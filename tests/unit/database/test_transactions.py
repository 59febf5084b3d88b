import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from mailpact.database import engine
from mailpact.database.transactions import Database, DatabaseUnavailable

Work = Callable[[Connection], Any]
Writing = Callable[[str | None], Work]


async def test_work_that_returns_is_committed(
    database: Database, write: Writing, notes: Work, tmp_path: Path
) -> None:
    await database.transact(write("a"))

    assert await database.transact(notes) == ["a"]
    with closing(sqlite3.connect(tmp_path / "notes.db")) as elsewhere:
        assert elsewhere.execute("SELECT text FROM notes").fetchall() == [("a",)]


async def test_work_that_raises_leaves_nothing(database: Database, write: Writing, notes: Work) -> None:
    def work(connection: Connection) -> None:
        write("a")(connection)
        raise LookupError("as the work raised it")

    with pytest.raises(LookupError, match="as the work raised it"):
        await database.transact(work)

    assert await database.transact(notes) == []


async def test_a_broken_constraint_reaches_the_caller_and_leaves_nothing(
    database: Database, write: Writing, notes: Work
) -> None:
    def work(connection: Connection) -> None:
        write("b")(connection)
        write("a")(connection)

    await database.transact(write("a"))
    with pytest.raises(IntegrityError):
        await database.transact(work)

    assert await database.transact(notes) == ["a"]


async def test_an_errors_text_does_not_tell_what_was_to_be_written(
    database: Database, write: Writing
) -> None:
    await database.transact(write("ada@example.org"))
    with pytest.raises(IntegrityError) as caught:
        await database.transact(write("ada@example.org"))

    assert "ada" not in str(caught.value)


async def test_a_table_made_in_a_transaction_that_fails_is_not_there(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE more (x)"))
        raise LookupError

    with pytest.raises(LookupError):
        await database.transact(work)
    names = await database.transact(
        lambda c: c.execute(text("SELECT name FROM sqlite_master")).scalars().all()
    )

    assert "more" not in names


async def test_a_commit_survives_a_power_cut_and_foreign_keys_are_enforced(database: Database) -> None:
    def pragmas(connection: Connection) -> dict[str, Any]:
        return {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    assert await database.transact(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


async def test_a_locked_database_is_unavailable_and_usable_again_afterwards(
    opened: Any, write: Writing, notes: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_MILLISECONDS", 50)
    async with opened(tmp_path / "x.db") as database:
        await database.transact(lambda c: c.execute(text("CREATE TABLE notes (text)")))
        with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseUnavailable, match=r"x\.db cannot be used: database is locked"):
                await database.transact(write("a"))
            other.execute("ROLLBACK")

        await database.transact(write("b"))

        assert await database.transact(notes) == ["b"]


async def test_a_file_that_another_process_is_just_making_is_waited_for(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        waits = iter([lambda: other.execute("ROLLBACK")])
        monkeypatch.setattr(engine.time, "sleep", lambda _: next(waits)())
        async with opened(tmp_path / "x.db") as database:
            mode = await database.transact(lambda c: c.execute(text("PRAGMA journal_mode")).scalar())

    assert mode == "wal"


async def test_a_transaction_that_reads_first_cannot_be_overtaken(
    database: Database, write: Writing, notes: Work, tmp_path: Path
) -> None:
    def work(connection: Connection) -> None:
        notes(connection)
        with (
            closing(sqlite3.connect(tmp_path / "notes.db", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("INSERT INTO notes VALUES ('other')")
        write("mine")(connection)

    await database.transact(work)

    assert await database.transact(notes) == ["mine"]


async def test_a_file_that_is_no_database_is_unavailable_and_not_touched(opened: Any, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader, " * 1000)
    async with opened(letter) as database:
        with pytest.raises(DatabaseUnavailable, match=r"letter\.txt cannot be used: file is not a database"):
            await database.transact(lambda c: c.execute(text("SELECT 1")))

    assert letter.read_text() == "Dear reader, " * 1000


async def test_a_missing_folder_is_named(opened: Any, tmp_path: Path) -> None:
    async with opened(tmp_path / "nowhere" / "x.db") as database:
        with pytest.raises(DatabaseUnavailable, match=r"nowhere/x\.db cannot be used: unable to open"):
            await database.transact(lambda c: c.execute(text("SELECT 1")))


async def test_a_folder_in_place_of_the_file_is_unavailable(opened: Any, tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        with pytest.raises(DatabaseUnavailable, match="unable to open"):
            await database.transact(lambda c: c.execute(text("SELECT 1")))


async def test_a_read_only_database_is_unavailable(database: Database, write: Writing) -> None:
    def work(connection: Connection) -> None:
        # The same error (SQLITE_READONLY) as a file without permission, which root would not get.
        connection.execute(text("PRAGMA query_only=ON"))
        write("a")(connection)

    with pytest.raises(DatabaseUnavailable, match="attempt to write a readonly database"):
        await database.transact(work)


async def test_a_full_disk_is_unavailable_and_leaves_nothing(database: Database, notes: Work) -> None:
    def fill(connection: Connection) -> None:
        # A limit on the pages is the same error (SQLITE_FULL) as a disk without space.
        connection.execute(text("PRAGMA max_page_count=10"))
        connection.execute(text("INSERT INTO notes VALUES (:much)"), {"much": "x" * 1_000_000})

    with pytest.raises(DatabaseUnavailable, match="full"):
        await database.transact(fill)

    assert await database.transact(notes) == []


async def test_a_mistake_in_a_statement_is_not_taken_for_an_outage(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO notes VALUES (?)", ("a", "b"))

    with pytest.raises(Exception, match="binding") as caught:
        await database.transact(work)

    assert not isinstance(caught.value, DatabaseUnavailable)


@pytest.mark.parametrize(
    "name", ["with space.db", "100%.db", "%41.db", "what?.db", "ü☃.db", "a#b.db", "a@b:c.db"]
)
async def test_any_file_name_is_meant_as_written(name: str, opened: Any, tmp_path: Path) -> None:
    async with opened(tmp_path / name) as database:
        await database.transact(lambda c: c.execute(text("CREATE TABLE notes (text)")))

        assert (tmp_path / name).is_file()


async def test_a_transaction_that_runs_is_finished_though_its_caller_is_cancelled(
    database: Database, write: Writing, notes: Work
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        write("a")(connection)
        began.set()
        assert go_on.wait(10)
        write("b")(connection)

    caller = asyncio.create_task(database.transact(work))
    await asyncio.to_thread(began.wait, 10)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()

    assert await database.transact(notes) == ["a", "b"]


async def test_a_transaction_that_is_cancelled_before_its_turn_never_runs(
    database: Database, write: Writing, notes: Work
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        began.set()
        assert go_on.wait(10)

    running = asyncio.create_task(database.transact(slow))
    await asyncio.to_thread(began.wait, 10)
    waiting = asyncio.create_task(database.transact(write("never")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    go_on.set()
    await running

    assert await database.transact(notes) == []


async def test_transactions_of_many_tasks_all_happen_one_after_another(
    database: Database, write: Writing, notes: Work
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(database.transact(write(str(number))))

    assert await database.transact(notes) == [str(number) for number in range(50)]


async def test_closing_waits_for_what_runs_and_leaves_no_thread_and_no_wal(
    opened: Any, write: Writing, tmp_path: Path
) -> None:
    async with opened(tmp_path / "x.db") as database:
        await database.transact(lambda c: c.execute(text("CREATE TABLE notes (text)")))
        running = asyncio.create_task(database.transact(write("a")))
        await asyncio.sleep(0)
    await running

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("database")] == []
    assert os.listdir(tmp_path) == ["x.db"]
