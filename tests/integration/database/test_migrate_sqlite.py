import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from mailpact.database.engine import open_database
from mailpact.database.migrate import SchemaUnknown, migrate
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl

MIGRATION = """
from alembic import op
import sqlalchemy as sa
revision = "{revision}"
down_revision = {before!r}
def upgrade():
    op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True))
    {more}
"""

Releases = Callable[..., Path]


@pytest.fixture
def opened() -> Callable[[Path], Database]:
    """Return a function that opens a database file; the context closes it again."""
    return lambda path: open_database(DatabaseUrl(f"sqlite:///{path}"))


@pytest.fixture
def release(tmp_path: Path) -> Releases:
    """Return a function that writes a release's migrations; each makes a table, and the last one ends with `more`."""

    def write(*tables: str, room: str = "room", more: str = "pass") -> Path:
        folder = tmp_path / f"{room} of 100% {len(tables)}"
        folder.mkdir(exist_ok=True)
        before = None
        for number, table in enumerate(tables, start=1):
            revision = f"{room}{number:04}"
            last = more if number == len(tables) else "pass"
            source = MIGRATION.format(revision=revision, before=before, table=table, more=last)
            (folder / f"{revision}.py").write_text(source)
            before = revision
        return folder

    return write


async def tables(database: Database) -> list[str]:
    return sorted(await database.transact(lambda connection: inspect(connection).get_table_names()))


async def test_an_empty_file_is_brought_to_the_head(release: Releases, opened: Any, tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as database:
        await migrate(database, release("users", "pages"), head="room0002", version_table="room_version")

        assert await tables(database) == ["pages", "room_version", "users"]


async def test_only_what_is_missing_is_run(release: Releases, opened: Any, tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as database:
        await migrate(database, release("users"), head="room0001", version_table="room_version")
        await database.transact(lambda c: c.execute(text("INSERT INTO users VALUES (7)")))
        await migrate(database, release("users", "pages"), head="room0002", version_table="room_version")

        assert await database.transact(lambda c: c.execute(text("SELECT id FROM users")).scalar()) == 7
        assert await tables(database) == ["pages", "room_version", "users"]


def test_an_up_to_date_database_never_loads_alembic(release: Releases, tmp_path: Path) -> None:
    folder = release("users")
    program = f"""
import asyncio, sys
from pathlib import Path
from mailpact.database.engine import open_database
from mailpact.database.migrate import migrate
from mailpact.settings import DatabaseUrl
async def main():
    database = open_database(DatabaseUrl("sqlite:///" + {str(tmp_path / "x.db")!r}))
    await migrate(database, Path({str(folder)!r}), head="room0001", version_table="room_version")
    await database.close()
asyncio.run(main())
print("alembic" in sys.modules)
"""
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert runs == ["True\n", "False\n"]


def test_many_processes_that_start_at_once_migrate_once(release: Releases, tmp_path: Path) -> None:
    folder = release("users", "pages")
    program = f"""
import asyncio
from pathlib import Path
from mailpact.database.engine import open_database
from mailpact.database.migrate import migrate
from mailpact.settings import DatabaseUrl
async def main():
    database = open_database(DatabaseUrl("sqlite:///" + {str(tmp_path / "x.db")!r}))
    await migrate(database, Path({str(folder)!r}), head="room0002", version_table="room_version")
    await database.close()
import alembic.command  # so that all of them are ready at the same moment
input()
asyncio.run(main())
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    complaints = [process.communicate()[1] for process in started]

    assert complaints == [""] * 4
    assert [process.returncode for process in started] == [0] * 4
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        assert database.execute("SELECT version_num FROM room_version").fetchall() == [("room0002",)]


async def test_two_components_of_one_process_migrate_at_once(
    release: Releases, opened: Any, tmp_path: Path
) -> None:
    async with opened(tmp_path / "a.db") as a, opened(tmp_path / "b.db") as b:
        await asyncio.gather(
            migrate(a, release("users", room="a"), head="a0001", version_table="a_version"),
            migrate(b, release("inbox", room="b"), head="b0001", version_table="b_version"),
        )

        assert (await tables(a), await tables(b)) == (["a_version", "users"], ["b_version", "inbox"])


async def test_two_components_share_a_database(release: Releases, opened: Any, tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as database:
        await migrate(database, release("users", room="a"), head="a0001", version_table="a_version")
        await migrate(database, release("inbox", room="b"), head="b0001", version_table="b_version")

        assert await tables(database) == ["a_version", "b_version", "inbox", "users"]


async def test_a_migration_that_fails_leaves_the_database_as_it_was(
    release: Releases, opened: Any, tmp_path: Path
) -> None:
    folder = release("users", "pages", more='raise LookupError("halfway")')
    async with opened(tmp_path / "x.db") as database:
        with pytest.raises(LookupError, match="halfway"):
            await migrate(database, folder, head="room0002", version_table="room_version")

        assert await tables(database) == []


async def test_a_newer_releases_tables_are_left_alone(release: Releases, opened: Any, tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as database:
        await migrate(database, release("users", "pages"), head="room0002", version_table="room_version")
        with pytest.raises(SchemaUnknown, match="revision 'room0002' in room_version, which this"):
            await migrate(database, release("users"), head="room0001", version_table="room_version")

        assert await tables(database) == ["pages", "room_version", "users"]


async def test_a_head_that_no_migration_reaches_is_a_bug_and_not_a_newer_schema(
    release: Releases, opened: Any, tmp_path: Path
) -> None:
    async with opened(tmp_path / "x.db") as database:
        with pytest.raises(Exception, match="room0009") as caught:
            await migrate(database, release("users"), head="room0009", version_table="room_version")

        assert not isinstance(caught.value, SchemaUnknown)


async def test_migrating_says_nothing(
    release: Releases, opened: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path / "x.db") as database:
        await migrate(database, release("users"), head="room0001", version_table="room_version")

    assert capfd.readouterr() == ("", "")
