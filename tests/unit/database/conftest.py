from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mailpact.database.engine import open_database
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl

Opening = Callable[[Path], Database]


@pytest.fixture
def opened() -> Opening:
    """Return a function that opens a database file; the context closes it again."""
    return lambda path: open_database(DatabaseUrl(f"sqlite:///{path}"))


@pytest.fixture
async def database(opened: Opening, tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a database with one empty table, `notes`."""
    async with opened(tmp_path / "notes.db") as database:
        await database.transact(lambda c: c.execute(text("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)")))
        yield database


@pytest.fixture
def write() -> Callable[..., Any]:
    """Return a function that makes the work of writing a note."""

    def work_of(note: str | None) -> Callable[..., None]:
        def work(connection: Any) -> None:
            connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": note})

        return work

    return work_of


@pytest.fixture
def notes() -> Callable[..., Any]:
    """Return the work that reads all notes."""

    def work(connection: Any) -> list[str]:
        return list(connection.execute(text("SELECT text FROM notes ORDER BY rowid")).scalars())

    return work
