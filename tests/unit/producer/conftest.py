"""A CMS's database on a real SQLite file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailpact.database.engine import open_database
from mailpact.database.migrate import migrate
from mailpact.database.transactions import Database
from mailpact.settings import DatabaseUrl
from mailpact_producer.store.schema import HEAD, MIGRATIONS, VERSION_TABLE


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a CMS's database with its tables."""
    opened = open_database(DatabaseUrl.of_file(tmp_path / "cms.db"))
    await migrate(opened, MIGRATIONS, head=HEAD, version_table=VERSION_TABLE)
    yield opened
    await opened.close()
