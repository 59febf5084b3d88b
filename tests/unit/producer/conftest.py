"""The site's database on a real SQLite file."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailpact.database.engine import open_database
from mailpact.database.migrate import migrate
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl
from mailpact_producer.store.schema import HEAD, MIGRATIONS, VERSION_TABLE


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the site's tables. Each test copies the file, because migrations take longer than a test."""
    path = tmp_path_factory.mktemp("migrated") / "cms.db"

    async def make() -> None:
        async with open_database(DatabaseUrl(f"sqlite:///{path}")) as opened:
            await migrate(opened, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)

    asyncio.run(make())
    return path


@pytest.fixture
async def database(migrated: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """Yield the site's database with its tables."""
    async with open_database(DatabaseUrl(f"sqlite:///{shutil.copy(migrated, tmp_path)}")) as opened:
        yield opened
